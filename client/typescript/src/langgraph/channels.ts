/**
 * Channel values as custom channels of the contract, and back.
 *
 * A value is one blob, as the serializer dumps it. A list is dumped item by item, so that a list that has grown costs its
 * new items.
 */

import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import type { CustomChannel, TypedBlob } from "../checkpoint.js";

export type Channels = Readonly<Record<string, CustomChannel>>;

/** A list of more items is one blob: the server bounds the fields of a request. */
const MOST_ITEMS = 100_000;

/** Makes values blobs, and blobs values. Throws what the serializer throws. */
export class Blobs {
  readonly #serde: SerializerProtocol;
  /** What a blob becomes when it is loaded and dumped again. */
  readonly #again = new WeakMap<TypedBlob, TypedBlob>();

  constructor(serde: SerializerProtocol) {
    this.#serde = serde;
  }

  async dump(value: unknown): Promise<TypedBlob> {
    const [type, data] = await this.#serde.dumpsTyped(value);
    return { type, data };
  }

  load({ type, data }: TypedBlob): Promise<unknown> {
    return this.#serde.loadsTyped(type, data);
  }

  /**
   * A value as a blob: the former one if that is the same value. Languages write some values in more than one way; what this
   * program has only passed on keeps its bytes.
   */
  async dumpLike(value: unknown, former: TypedBlob | undefined): Promise<TypedBlob> {
    const blob = await this.dump(value);
    if (!former || equal(blob, former)) {
      return blob;
    }
    const again = this.#again.get(former) ?? (await this.#dumpAgain(former));
    this.#again.set(former, again);
    return equal(blob, again) ? former : blob;
  }

  /** A channel's value. `former`: what the channel held, which the value is likely to go on from. */
  async toChannel(value: unknown, version: unknown, former: CustomChannel | undefined): Promise<CustomChannel> {
    const text = version === undefined || version === null ? "" : String(version);
    if (!Array.isArray(value) || value.length > MOST_ITEMS) {
      return { version: text, blob: await this.dumpLike(value, former?.blob) };
    }
    const before = former?.list?.items ?? [];
    const items = await Promise.all(value.map((item, index) => this.dumpLike(item, before[index])));
    return { version: text, list: { items } };
  }

  /** The values of all channels that have one; those named by `order` first, in that order. */
  async fromChannels(channels: Channels, order: Iterable<string>): Promise<Record<string, unknown>> {
    const names = new Set([...order, ...Object.keys(channels).sort()]);
    const present = [...names].filter((name) => Object.hasOwn(channels, name) && hasValue(channels[name]));
    const values = present.map(
      async (name) => [name, await this.fromChannel(channels[name] as CustomChannel)] as const,
    );
    return Object.fromEntries(await Promise.all(values));
  }

  /** The value of a channel that has one. */
  async fromChannel({ blob, list }: CustomChannel): Promise<unknown> {
    if (list) {
      return Promise.all(list.items.map((item) => this.load(item)));
    }
    return blob && this.load(blob);
  }

  /** The same blob, where it cannot be loaded: then it is no value of this program's. */
  async #dumpAgain(former: TypedBlob): Promise<TypedBlob> {
    try {
      return await this.dump(await this.load(former));
    } catch {
      return former;
    }
  }
}

/** Whether the channel holds anything. */
export function hasValue(channel: CustomChannel | undefined): channel is CustomChannel {
  return channel?.blob !== undefined || channel?.list !== undefined;
}

function equal(one: TypedBlob, other: TypedBlob): boolean {
  return one.type === other.type && Buffer.compare(one.data, other.data) === 0;
}
