/** Limits how many saves of a client are in flight, and how many bytes they have. */

import type { Budget } from "./budget.js";
import { Cancelled, DeadlineExceeded } from "./errors.js";

/** What a client has in flight at most. A save that would exceed it waits for its turn, within its timeout. */
export interface InFlightPolicy {
  /** How many saves. Default 1024. */
  maxSaves: number;
  /** How many bytes their checkpoints have together. A larger checkpoint is sent alone. Default 32 MiB. */
  maxBytes: number;
}

const DEFAULTS: InFlightPolicy = { maxSaves: 1024, maxBytes: 32 * 1024 * 1024 };

interface Turn {
  size: number;
  admit(): void;
  refuse(error: Error): void;
}

/** Admits a number of saves and of bytes at once, and always one save. First come, first served. */
export class SaveLimiter {
  readonly #policy: InFlightPolicy;
  readonly #queue = new Set<Turn>();
  #saves = 0;
  #bytes = 0;
  /** Saves that were admitted from the queue and have not continued yet: nobody overtakes them. */
  #admitted = 0;

  /** Throws RangeError. */
  constructor(given: Partial<InFlightPolicy> = {}) {
    this.#policy = { ...DEFAULTS, ...given };
    const { maxSaves, maxBytes } = this.#policy;
    if (!(Number.isSafeInteger(maxSaves) && maxSaves >= 1 && Number.isSafeInteger(maxBytes) && maxBytes >= 1)) {
      throw new RangeError("inFlight: maxSaves and maxBytes must be integers above 0");
    }
  }

  /** Saves in flight. */
  get saves(): number {
    return this.#saves;
  }

  /** Begin a save of this size. False: it has to wait for its turn. */
  take(size: number): boolean {
    if (this.#queue.size > 0 || this.#admitted > 0 || this.#isFull(size)) {
      return false;
    }
    this.#add(size);
    return true;
  }

  /** Begin a save when it is its turn. Throws DeadlineExceeded, Cancelled. */
  async wait(size: number, budget: Budget): Promise<void> {
    let turn: Turn | undefined;
    const admitted = new Promise<void>((resolve, reject) => {
      turn = { size, admit: resolve, refuse: reject };
      this.#queue.add(turn);
    });
    try {
      await budget.until(admitted);
    } catch (error) {
      if (!this.#queue.delete(turn as Turn)) {
        this.#admitted -= 1; // it was admitted at the same moment
        this.leave(size);
      }
      throw error instanceof DeadlineExceeded ? tooMany() : error;
    }
    this.#admitted -= 1;
    this.#admitNext();
  }

  /** End a save of this size. */
  leave(size: number): void {
    this.#saves -= 1;
    this.#bytes -= size;
    this.#admitNext();
  }

  /** Refuse those that wait. */
  close(): void {
    for (const turn of this.#queue) {
      this.#queue.delete(turn);
      this.#admitted += 1;
      this.#add(turn.size);
      turn.refuse(new Cancelled("the client was closed", { code: "CANCELLED" }));
    }
  }

  #admitNext(): void {
    for (const turn of this.#queue) {
      if (this.#isFull(turn.size)) {
        return;
      }
      this.#queue.delete(turn);
      this.#add(turn.size);
      this.#admitted += 1;
      turn.admit();
    }
  }

  #add(size: number): void {
    this.#saves += 1;
    this.#bytes += size;
  }

  #isFull(size: number): boolean {
    const isOver = this.#saves >= this.#policy.maxSaves || this.#bytes + size > this.#policy.maxBytes;
    return isOver && this.#saves > 0;
  }
}

function tooMany(): DeadlineExceeded {
  return new DeadlineExceeded("too many other saves of this client wait for their answers: see the option inFlight", {
    code: "DEADLINE_EXCEEDED",
  });
}
