/** The time that a call has, retries included, and the signal that may end it sooner. */

import { onAbort } from "./abort.js";
import { Cancelled, DeadlineExceeded } from "./errors.js";

/** What every call takes. */
export interface CallOptions {
  /** Milliseconds that the call may take, retries included. Default: the client's. */
  timeoutMs?: number | undefined;
  /** Ends the call with `Cancelled`. */
  signal?: AbortSignal | undefined;
}

/** Longer than this, Node's timers do not wait. */
const MOST_MS = 2 ** 31 - 1;

export class Budget {
  readonly signal: AbortSignal | undefined;
  /** Milliseconds in all. */
  readonly totalMs: number;
  /** By `performance.now()`. */
  readonly end: number;

  /** Throws RangeError unless the time is above 0, Cancelled if the signal has been given already. */
  constructor(defaultMs: number, options: CallOptions = {}) {
    const timeoutMs = options.timeoutMs ?? defaultMs;
    if (!(timeoutMs > 0)) {
      throw new RangeError("timeoutMs must be above 0");
    }
    this.signal = options.signal;
    this.totalMs = Math.min(timeoutMs, MOST_MS);
    this.end = performance.now() + this.totalMs;
    this.check();
  }

  /** Milliseconds that are left; 0 and above. */
  get remaining(): number {
    return Math.max(0, this.end - performance.now());
  }

  /** Throws Cancelled if the signal has been given. */
  check(): void {
    if (this.signal?.aborted) {
      throw cancelled(this.signal.reason);
    }
  }

  /** Wait. Throws Cancelled as soon as the signal is given. */
  sleep(ms: number): Promise<void> {
    return this.#pause(ms);
  }

  /** Wait for something. Throws what it throws, DeadlineExceeded when the time is up, Cancelled at the signal. */
  async until(event: Promise<void>): Promise<void> {
    let isThere = false;
    const there = event.then(() => {
      isThere = true;
    });
    await this.#pause(this.remaining, there);
    if (!isThere) {
      throw outOfTime();
    }
  }

  async #pause(ms: number, event?: Promise<void>): Promise<void> {
    this.check();
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        forget();
      };
      const done = () => {
        end();
        resolve();
      };
      const timer = setTimeout(done, ms);
      const forget = onAbort(this.signal, done);
      event?.then(done, (error) => {
        end();
        reject(error);
      });
    });
    this.check();
  }
}

export function cancelled(cause?: unknown): Cancelled {
  return new Cancelled("the call was cancelled", { code: "CANCELLED", cause });
}

/** `fault`: what went wrong before. */
export function outOfTime(fault?: unknown): DeadlineExceeded {
  const told = fault instanceof Error ? ` (${fault.message})` : "";
  return new DeadlineExceeded(`no answer in time${told}`, { code: "DEADLINE_EXCEEDED", cause: fault });
}
