/** One runner of a session: holds its lease, and saves under it. */

import { LeaseLost } from "./errors.js";
import type { Checkpoint } from "./gen/lockstitch/v1/checkpoint_pb.js";
import type { LoadLatestResponse, SaveResponse } from "./gen/lockstitch/v1/checkpoint_service_pb.js";
import type { Lease } from "./lease.js";
import type { CheckpointInit, SaveOptions, Saver } from "./saver.js";

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
  readonly #saver: Saver;
  readonly #lease: Lease;

  /** For `Client.run`. */
  constructor(saver: Saver, lease: Lease, latest: LoadLatestResponse) {
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
  async save(checkpoint: CheckpointInit, options: Omit<SaveOptions, "leaseToken"> = {}): Promise<SaveResponse> {
    this.signal.throwIfAborted();
    try {
      return await this.#saver.save(checkpoint, { ...options, leaseToken: this.token });
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
