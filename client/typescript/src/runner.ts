/** One runner of a session: holds its lease, and saves under it. */

import type { Caller } from "./caller.js";
import { LeaseLost, type LockstitchError } from "./errors.js";
import type { Checkpoint } from "./gen/lockstitch/v1/checkpoint_pb.js";
import type { LoadLatestResponse, SaveResponse } from "./gen/lockstitch/v1/checkpoint_service_pb.js";
import { SessionService } from "./gen/lockstitch/v1/session_service_pb.js";
import type { CheckpointInit, SaveOptions, Saver } from "./saver.js";
import { duration } from "./values.js";

/** A lease as its holder has it. */
export interface HeldLease {
  /** The fencing token, for `leaseToken`. */
  token: bigint;
  holder: string;
  /** For how long it lasts from when the server answered, in milliseconds. */
  ttlMs: number;
}

/** A lease is renewed when this part of its time has passed. */
const RENEW_AFTER = 1 / 3;
const LEAST_PAUSE_MS = 100;

/**
 * The right to run a session, from `Client.run`. The lease is renewed by itself until `release`, or until it is lost:
 * then `signal` is aborted, and this runner must stop. Whatever it saves is fenced: a runner that has lost its lease
 * without knowing it cannot overwrite what another one does.
 */
export class Runner implements AsyncDisposable {
  readonly sessionId: string;
  readonly token: bigint;
  readonly holder: string;
  /** The latest checkpoint of the root namespace when the lease was taken; undefined: the session is new. */
  readonly checkpoint: Checkpoint | undefined;
  /** All that was loaded with it. */
  readonly latest: LoadLatestResponse;
  readonly #caller: Caller;
  readonly #saver: Saver;
  readonly #lost = new AbortController();
  readonly #ttlMs: number;
  #timer: NodeJS.Timeout | undefined;
  #released = false;
  #until: number;

  /** `begun`: when the lease was asked for, by `performance.now()`. */
  constructor(
    caller: Caller,
    saver: Saver,
    sessionId: string,
    lease: HeldLease,
    latest: LoadLatestResponse,
    begun: number,
  ) {
    this.#caller = caller;
    this.#saver = saver;
    this.sessionId = sessionId;
    this.token = lease.token;
    this.holder = lease.holder;
    this.latest = latest;
    this.checkpoint = latest.checkpoint;
    this.#ttlMs = lease.ttlMs;
    this.#until = begun + lease.ttlMs;
    this.#renewLater();
  }

  /** Aborted when the lease is lost; its reason is the `LeaseLost`. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Save under the lease. Throws LeaseLost as soon as it is known to be lost. */
  async save(checkpoint: CheckpointInit, options: Omit<SaveOptions, "leaseToken"> = {}): Promise<SaveResponse> {
    this.#lost.signal.throwIfAborted();
    try {
      return await this.#saver.save(checkpoint, { ...options, leaseToken: this.token });
    } catch (error) {
      if (error instanceof LeaseLost) {
        this.#lose(error);
      }
      throw error;
    }
  }

  /** Give the lease back. Whether it was still held. May be repeated. */
  async release(): Promise<boolean> {
    this.#released = true;
    clearTimeout(this.#timer);
    const request = { sessionId: this.sessionId, leaseToken: this.token };
    return (await this.#caller.call(SessionService.method.releaseLease, request, undefined)).released;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #renewLater(): void {
    const pause = Math.max(LEAST_PAUSE_MS, this.#until - performance.now() - this.#ttlMs * (1 - RENEW_AFTER));
    this.#timer = setTimeout(() => void this.#renew(), pause);
    this.#timer.unref();
  }

  async #renew(): Promise<void> {
    const begun = performance.now();
    try {
      const timeoutMs = Math.max(1, this.#until - begun); // after that it may be another's
      const request = { sessionId: this.sessionId, leaseToken: this.token, ttl: duration(this.#ttlMs) };
      await this.#caller.call(SessionService.method.renewLease, request, { timeoutMs });
      this.#until = begun + this.#ttlMs;
    } catch (error) {
      if (performance.now() >= this.#until || error instanceof LeaseLost) {
        this.#lose(error as LockstitchError);
        return;
      }
    }
    if (!this.#released) {
      this.#renewLater();
    }
  }

  #lose(error: LockstitchError): void {
    clearTimeout(this.#timer);
    if (!this.#released) {
      const own = new LeaseLost("the lease could not be renewed in time", {
        code: "ABORTED",
        reason: "LEASE_LOST",
        cause: error,
      });
      this.#lost.abort(error instanceof LeaseLost ? error : own);
    }
  }
}
