/** What a lane has to send, and what of that has no answer yet. */

import type { Budget } from "./budget.js";
import type { SaveResponse } from "./wire/methods.js";

/** A serialized SaveRequest that waits for its answer. */
export interface Item {
  /** Tells the items of a lane apart, and grows from each to the next. */
  readonly number: bigint;
  readonly sessionId: string;
  readonly request: Uint8Array;
  /** The trace that it is a part of. */
  readonly traceContext: Record<string, string>;
  readonly budget: Budget;
  /** Whether it has gone out on the stream that is open now. */
  sent: boolean;
  /** How often the server has refused it for a moment. */
  refusals: number;
  /** Takes its signal's callback back. */
  forget(): void;
  succeed(answer: SaveResponse): void;
  fail(error: unknown): void;
}

/** Gives items out so that the items of one session keep the order in which they came in. */
export class Outbox {
  /** All that have no answer. */
  readonly waiting = new Map<bigint, Item>();
  #unsent = new Map<bigint, Item>();
  readonly #held = new Set<string>();

  add(item: Item): void {
    this.waiting.set(item.number, item);
    this.#unsent.set(item.number, item);
  }

  /** The next items to send, within a number and a size in bytes, but at least one if there is any. */
  take(most: number, mostBytes: number): Item[] {
    const taken: Item[] = [];
    let bytes = 0;
    for (const item of this.#unsent.values()) {
      if (this.#held.has(item.sessionId)) {
        continue;
      }
      bytes += item.request.length;
      if (taken.length > 0 && bytes > mostBytes) {
        break;
      }
      this.#unsent.delete(item.number);
      item.sent = true;
      taken.push(item);
      if (taken.length === most) {
        break;
      }
    }
    return taken;
  }

  /** Let go of an item that has its answer, or that nobody waits for any more. */
  remove(item: Item): void {
    item.forget();
    this.#unsent.delete(item.number);
    this.waiting.delete(item.number);
  }

  /** The items whose time is up, and when that of the others is, by `performance.now()`. */
  due(now: number): [due: Item[], next: number] {
    const due: Item[] = [];
    let next = Infinity;
    for (const item of this.waiting.values()) {
      if (item.budget.end <= now) {
        due.push(item);
      } else {
        next = Math.min(next, item.budget.end);
      }
    }
    return [due, next];
  }

  /** Give everything out again that has no answer. */
  restart(): void {
    this.#unsent = new Map(this.waiting);
    for (const item of this.waiting.values()) {
      item.sent = false;
    }
  }

  /**
   * Give this item out again, but not before its session is released; what came after it and has not gone out waits with
   * it. False: its session was held already.
   */
  hold(item: Item): boolean {
    item.sent = false;
    this.#unsent = new Map(
      [...this.#unsent, [item.number, item] as const].sort(([one], [other]) => (one < other ? -1 : 1)),
    );
    const isNew = !this.#held.has(item.sessionId);
    this.#held.add(item.sessionId);
    return isNew;
  }

  /** Give out what was held. */
  release(sessionId: string): void {
    this.#held.delete(sessionId);
  }

  /** Whether anything has gone out that has no answer. */
  get hasSent(): boolean {
    for (const item of this.waiting.values()) {
      if (item.sent) {
        return true;
      }
    }
    return false;
  }

  /** What has gone out and has no answer, in its order. */
  sent(): Item[] {
    return [...this.waiting.values()].filter((item) => item.sent);
  }
}
