/** The appends of which it is not known whether they were stored, for a while: the same append again is a retry. */

import type { TypedBlob } from "./checkpoint.js";
import { blobListCodec } from "./wire/messages.js";

/** How long after its last attempt an append is remembered. */
const AGE_MS = 60_000;
/** What is remembered at most. The oldest appends are forgotten first. */
const MOST_APPENDS = 64;
const MOST_BYTES = 16 * 1024 * 1024;

interface Attempt<R> {
  request: R;
  /** By `performance.now()`. */
  until: number;
}

/** What makes two appends the same: the channel and the serialized items. */
export function appendOf(channel: string, items: readonly TypedBlob[]): string {
  const bytes = blobListCodec.encode({ items: [...items] });
  return `${channel}\u0000${Buffer.from(bytes).toString("latin1")}`;
}

/** The last attempt of each append that has no answer. */
export class UnsettledAppends<R> {
  readonly #attempts = new Map<string, Attempt<R>>();
  #bytes = 0;

  get isEmpty(): boolean {
    this.#forgetOld();
    return this.#attempts.size === 0;
  }

  /** The last attempt of an append; undefined: there was none, or it was answered. */
  get(append: string): R | undefined {
    this.#forgetOld();
    return this.#attempts.get(append)?.request;
  }

  /** Remember an attempt, in place of the one before. */
  put(append: string, request: R): void {
    this.remove(append);
    this.#attempts.set(append, { request, until: performance.now() + AGE_MS });
    this.#bytes += append.length;
    for (const oldest of this.#attempts.keys()) {
      if (this.#attempts.size <= 1 || (this.#attempts.size <= MOST_APPENDS && this.#bytes <= MOST_BYTES)) {
        break;
      }
      this.remove(oldest);
    }
  }

  /** Forget an append, which is settled. */
  remove(append: string): void {
    if (this.#attempts.delete(append)) {
      this.#bytes -= append.length;
    }
  }

  clear(): void {
    this.#attempts.clear();
    this.#bytes = 0;
  }

  #forgetOld(): void {
    const now = performance.now();
    for (const [append, { until }] of this.#attempts) {
      if (until > now) {
        break;
      }
      this.remove(append);
    }
  }
}
