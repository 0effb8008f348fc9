/**
 * Where the values of a plain state stand in a checkpoint, so that a save sends and stores what changed.
 *
 * docs/clients/plain-state.md describes the layout, which all languages share.
 */

import type { CustomChannel, TypedBlob, VersionedState } from "../checkpoint.js";
import type { Codec } from "./codec.js";
import { at, checkText, entriesOf, type Path } from "./json.js";

export const LAYOUT = "1";
/** The header of a checkpoint that holds a plain state. */
export const PLAIN_STATE: TypedBlob = Object.freeze({
  type: "lockstitch.plain",
  data: new TextEncoder().encode(LAYOUT),
});
/** An object with more keys is one value. */
export const SPLIT_KEYS = 100;
export const NAME_BYTES = 512;

/** A state as channels. Throws TypeError, with the path. */
export function write(state: object, codec: Codec): VersionedState {
  const custom: [string, CustomChannel][] = [];
  for (const [key, value] of entriesOf(state, [])) {
    const members = splitMembers(key, value);
    if (members) {
      custom.push(...members.map(([inner, item]) => channelEntry([key, inner], item, codec)));
    } else {
      custom.push(channelEntry([key], value, codec));
    }
  }
  return { custom: Object.fromEntries(custom) };
}

/** The state of channels that `write` made. Throws TypeError, with the path. */
export function read(state: VersionedState, codec: Codec): Record<string, unknown> {
  if (state.messages || state.extra || state.errors) {
    throw new TypeError("the channels messages, extra and errors are not those of a plain state");
  }
  const found = new Map<string, unknown>();
  const split = new Map<string, Map<string, unknown>>();
  for (const name of Object.keys(state.custom).sort()) {
    const path = pathOf(name);
    const [key = "", inner] = path;
    const inside = inner === undefined ? found : getOrMake(split, key);
    const last = inner ?? key;
    const isKnown = inner === undefined ? split.has(key) : found.has(key);
    if (path.length > 2 || nameOf(path) !== name || isKnown || inside.has(last)) {
      throw new TypeError(`channel ${JSON.stringify(name)} is not one of a plain state`);
    }
    inside.set(last, loadedValue(state.custom[name] as CustomChannel, path, codec));
  }
  const objects = [...split].map(([key, members]) => [key, Object.fromEntries(members)] as const);
  return Object.fromEntries([...found, ...objects]);
}

/** A state with items added to one of its lists; a key that is not there begins with none. Throws TypeError. */
export function appended(state: VersionedState, key: string, items: readonly unknown[], codec: Codec): VersionedState {
  checkText(key, []);
  const name = checkedName([key]);
  const channel = Object.hasOwn(state.custom, name) ? state.custom[name] : undefined;
  const isSplit = Object.keys(state.custom).some((other) => other.startsWith(`${name}/`));
  if (isSplit || (channel && !channel.list)) {
    throw new TypeError(`${at([key])} is ${isSplit ? "an object, not a list" : "not a list"}`);
  }
  const before = channel?.list?.items ?? [];
  const added = items.map((item, index) => codec.encode(item, [key, before.length + index]));
  const entries = Object.entries(state.custom).filter(([other]) => other !== name);
  return { custom: Object.fromEntries([...entries, [name, listOf([...before, ...added])]]) };
}

/**
 * A state with the bytes that a former one has for values that have not changed. Languages write some values in more than one
 * way, such as the float 1.0; what this program has only passed on keeps its bytes, and costs nothing.
 */
export function withKnownBytes(state: VersionedState, former: VersionedState, codec: Codec): VersionedState {
  const custom = Object.entries(state.custom).map(([name, channel]) => {
    const before = Object.hasOwn(former.custom, name) ? former.custom[name] : undefined;
    return [name, before ? knownChannel(channel, before, pathOf(name), codec) : channel];
  });
  return { custom: Object.fromEntries(custom) };
}

function knownChannel(channel: CustomChannel, before: CustomChannel, path: Path, codec: Codec): CustomChannel {
  if (channel.blob && before.blob) {
    return blobOf(knownBlob(channel.blob, before.blob, path, codec));
  }
  if (channel.list && before.list) {
    const known = before.list.items;
    return listOf(
      channel.list.items.map((item, index) => {
        const former = known[index];
        return former ? knownBlob(item, former, [...path, index], codec) : item;
      }),
    );
  }
  return channel;
}

/** The former blob, where the codec writes its value as the new one. */
function knownBlob(now: TypedBlob, old: TypedBlob, path: Path, codec: Codec): TypedBlob {
  if (equal(now, old)) {
    return old;
  }
  try {
    return equal(now, codec.encode(codec.decode(old, path), path)) ? old : now;
  } catch {
    return now; // a value that this language does not have is not the new one
  }
}

function equal(one: TypedBlob, other: TypedBlob): boolean {
  return one.type === other.type && Buffer.compare(one.data, other.data) === 0;
}

function channelEntry(path: readonly string[], value: unknown, codec: Codec): [string, CustomChannel] {
  const name = checkedName(path);
  if (!Array.isArray(value)) {
    return [name, blobOf(codec.encode(value, path))];
  }
  // By index: `map` would pass over holes, which the codec must see.
  return [name, listOf(Array.from(value, (item, index) => codec.encode(item, [...path, index])))];
}

function loadedValue({ blob, list }: CustomChannel, path: Path, codec: Codec): unknown {
  if (list) {
    return list.items.map((item, index) => codec.decode(item, [...path, index]));
  }
  if (!blob) {
    throw new TypeError(`${at(path)} has a channel without a value`);
  }
  return codec.decode(blob, path);
}

/** The members of an object that has a channel for each of them. */
function splitMembers(key: string, value: unknown): [string, unknown][] | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value) || !isPlain(value)) {
    return undefined;
  }
  const members = entriesOf(value, [key]);
  const fits = members.every(([inner]) => Buffer.byteLength(nameOf([key, inner])) <= NAME_BYTES);
  return members.length > 0 && members.length <= SPLIT_KEYS && fits ? members : undefined;
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function checkedName(path: readonly string[]): string {
  const name = nameOf(path);
  if (Buffer.byteLength(name) > NAME_BYTES) {
    throw new TypeError(`${at(path)}: the keys have more than ${NAME_BYTES} bytes together`);
  }
  return name;
}

function nameOf(path: readonly string[]): string {
  return path.map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1")).join("/");
}

function pathOf(name: string): string[] {
  return name.split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function blobOf(blob: TypedBlob): CustomChannel {
  return { version: "", blob };
}

function listOf(items: TypedBlob[]): CustomChannel {
  return { version: "", list: { items } };
}

function getOrMake(split: Map<string, Map<string, unknown>>, key: string): Map<string, unknown> {
  const members = split.get(key) ?? new Map<string, unknown>();
  split.set(key, members);
  return members;
}
