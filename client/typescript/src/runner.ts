/** One runner of a session: holds its lease, and saves under it. */

import type { Latest, Saved, SavedWrites } from "./answers.js";
import type { CallOptions } from "./budget.js";
import type { Caller } from "./caller.js";
import type { Checkpoint, CheckpointInit, PendingWriteInit } from "./checkpoint.js";
import type { SaveOptions } from "./conditions.js";
import { LeaseLost } from "./errors.js";
import type { Lease } from "./lease.js";
import type { Saver } from "./saver.js";
import { SAVE_WRITES } from "./wire/methods.js";

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
  readonly latest: Latest;
  readonly #caller: Caller;
  readonly #saver: Saver;
  readonly #lease: Lease;

  /** @internal For `Client.run`. */
  constructor(caller: Caller, saver: Saver, lease: Lease, latest: Latest) {
    this.#caller = caller;
    this.#saver = saver;
    this.#lease = lease;
    this.sessionId = lease.sessionId;
    this.token = lease.token;
    this.holder = lease.holder;
    this.latest = latest;
    this.checkpoint = latest.checkpoint;
  }

  /** Aborted when the lease is lost; its reason is the `LeaseLost`. */
  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  /** Save under the lease. Throws LeaseLost as soon as it is known to be lost. */
  save(checkpoint: CheckpointInit, options: Omit<SaveOptions, "leaseToken"> = {}): Promise<Saved> {
    return this.write((leaseToken) => this.#saver.save(checkpoint, { ...options, leaseToken }));
  }

  /** Save pending writes of a checkpoint under the lease, as `Client.saveWrites`. Throws LeaseLost. */
  saveWrites(
    checkpointId: string,
    writes: readonly PendingWriteInit[],
    options: CallOptions & { namespace?: string | undefined } = {},
  ): Promise<SavedWrites> {
    const { namespace = "" } = options;
    const request = { sessionId: this.sessionId, checkpointId, writes, namespace };
    return this.write((leaseToken) => this.#caller.call(SAVE_WRITES, { ...request, leaseToken }, options));
  }

  /** Make a call under the lease, which takes note if that is lost. For calls that the runner has no method for. */
  async write<T>(call: (leaseToken: bigint) => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    try {
      return await call(this.token);
    } catch (error) {
      if (error instanceof LeaseLost) {
        this.#lease.lose(error);
      }
      throw error;
    }
  }

  /** Give the lease back. Whether it was still held. May be repeated. */
  release(): Promise<boolean> {
    return this.#lease.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
