/** A lease that is renewed in the background. */

import type { LeaseInfo } from "./answers.js";
import type { Caller } from "./caller.js";
import { LeaseLost, type LockstitchError } from "./errors.js";
import { RELEASE_LEASE, RENEW_LEASE } from "./wire/methods.js";

/** A lease as its holder has it. */
export interface HeldLease extends LeaseInfo {
  /** The fencing token, for `leaseToken`. */
  token: bigint;
  /** For how long it lasts from when the server answered, in milliseconds. */
  ttlMs: number;
}

/** A lease is renewed when this part of its time has passed. */
const RENEW_AFTER = 1 / 3;
const LEAST_PAUSE_MS = 100;

/**
 * The lease of a session, from `Client.lease`. It is renewed in the background until `release`, or until it is lost: then
 * `signal` is aborted, and whatever is written with its token fails.
 *
 *     await using lease = await client.lease("order-4711", "worker-1");
 *     await client.save({ sessionId: "order-4711", step }, { leaseToken: lease.token });
 */
export class Lease implements AsyncDisposable {
  readonly sessionId: string;
  readonly token: bigint;
  readonly holder: string;
  readonly ttlMs: number;
  readonly #caller: Caller;
  readonly #lost = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #released = false;
  #until: number;

  /** @internal For `Client.lease`, which has just taken it. */
  constructor(caller: Caller, sessionId: string, { token, holder, ttlMs }: HeldLease) {
    this.#caller = caller;
    this.sessionId = sessionId;
    this.token = token;
    this.holder = holder;
    this.ttlMs = ttlMs;
    this.#until = performance.now() + ttlMs;
    this.#renewLater();
  }

  /** Aborted when the lease is lost; its reason is the `LeaseLost`. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Give the lease back. Whether it was still held. May be repeated. */
  async release(): Promise<boolean> {
    this.#released = true;
    clearTimeout(this.#timer);
    const request = { sessionId: this.sessionId, leaseToken: this.token };
    return (await this.#caller.call(RELEASE_LEASE, request, undefined)).released;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** Stop renewing: a call under this lease has failed, and this error says that the lease is lost. */
  lose(error: LeaseLost): void {
    clearTimeout(this.#timer);
    if (!this.#released) {
      this.#lost.abort(error);
    }
  }

  #renewLater(): void {
    const pause = Math.max(LEAST_PAUSE_MS, this.#until - performance.now() - this.ttlMs * (1 - RENEW_AFTER));
    this.#timer = setTimeout(() => void this.#renew(), pause);
    this.#timer.unref();
  }

  async #renew(): Promise<void> {
    const begun = performance.now();
    try {
      const timeoutMs = Math.max(1, this.#until - begun); // after that it may be another's
      const request = { sessionId: this.sessionId, leaseToken: this.token, ttl: this.ttlMs };
      await this.#caller.call(RENEW_LEASE, request, { timeoutMs });
      this.#until = begun + this.ttlMs;
    } catch (error) {
      if (performance.now() >= this.#until || error instanceof LeaseLost) {
        this.lose(error instanceof LeaseLost ? error : notRenewed(error as LockstitchError));
        return;
      }
    }
    if (!this.#released && !this.#lost.signal.aborted) {
      this.#renewLater();
    }
  }
}

function notRenewed(cause: LockstitchError): LeaseLost {
  return new LeaseLost("the lease could not be renewed in time", { code: "ABORTED", reason: "LEASE_LOST", cause });
}
