/**
 * Leases, so that a thread has one writer: taken before its first write, renewed in the background, sent with every save. A
 * run that has lost its lease, or finds it with another saver, is refused.
 */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { RunnableConfig } from "@langchain/core/runnables";
import type { Checkpoint, PendingWrite } from "../checkpoint.js";
import type { Client } from "../client.js";
import { ExpectedLatestMismatch, LeaseHeld, LeaseLost, type LockstitchError } from "../errors.js";
import type { Lease } from "../lease.js";
import { type Place, storedNamespace } from "./place.js";
import { expectedOf, type Held, Run } from "./runs.js";

/** How a saver holds the leases of its threads. */
export interface LeasePolicy {
  /** Milliseconds after which a lease ends when its holder has died, 1000 to a day. Default 30,000. */
  ttlMs?: number | undefined;
  /** Milliseconds without a write after which a lease is given back. Default 300,000. */
  idleMs?: number | undefined;
  /** A readable name of the holder, which others are shown. It need not be unique. Default: host and process. */
  holder?: string | undefined;
}

const DEFAULT_TTL_MS = 30_000;
const DEFAULT_IDLE_MS = 300_000;
const LEAST_TTL_MS = 1000;
const MOST_UNANSWERED = 1024;
/** LangGraph's key in the configs of tasks: a graph that begins with it is a subgraph of a run. */
const READ = "__pregel_read";

export class Leases {
  readonly #client: Client;
  readonly #ttlMs: number;
  readonly #idleMs: number;
  readonly #holder: string;
  readonly #held = new Map<string, Held>();
  /** Attempts that ended without an answer, by thread. */
  readonly #unanswered = new Map<string, string>();

  /** Throws RangeError. */
  constructor(client: Client, policy: LeasePolicy) {
    this.#client = client;
    this.#ttlMs = policy.ttlMs ?? DEFAULT_TTL_MS;
    this.#idleMs = policy.idleMs ?? DEFAULT_IDLE_MS;
    this.#holder = policy.holder || `${hostname()}:${process.pid}`;
    if (!(this.#ttlMs >= LEAST_TTL_MS && this.#idleMs > 0)) {
      throw new RangeError("lease: ttlMs must be 1000 or more, and idleMs above 0");
    }
  }

  /** A run may begin from a checkpoint that was read. asked: by which config. place: of the checkpoint. */
  begin(asked: RunnableConfig, place: Place, isNamed: boolean): Run {
    const held = this.#held.get(place.threadId);
    const isSubgraph = asked.configurable !== undefined && READ in asked.configurable;
    if (held?.lost && !isSubgraph) {
      this.#held.delete(place.threadId); // runs that have written under it may not continue; others may
    }
    return new Run(this, place, isNamed, isSubgraph ? held : undefined);
  }

  /** The run that a config carries. */
  runOf(config: RunnableConfig, place: Place): Run | undefined {
    return Run.of(this, config, place);
  }

  /**
   * Save a checkpoint. Throws LeaseHeld where another writes, ExpectedLatestMismatch where another has written since the run
   * read the parent, LeaseLost where the run may not write any more, and what a save throws.
   */
  async save(message: Checkpoint, run: Run | undefined, isFork: boolean, ttlMs: number | undefined): Promise<void> {
    const { sessionId, parentId, checkpointId } = message;
    const expected = run ? run.expected(parentId) : expectedOf(parentId);
    const takeBack = run?.advance(parentId, checkpointId);
    try {
      const held = await this.#hold(sessionId, run);
      await this.#write(held, run, (leaseToken) =>
        this.#client.save(message, { ttlMs, leaseToken, expectedLatest: isFork ? undefined : expected }),
      );
    } catch (error) {
      takeBack?.();
      throw error;
    }
  }

  /** Save pending writes of a checkpoint. Throws what `save` throws. */
  async saveWrites(place: Place, run: Run | undefined, writes: PendingWrite[]): Promise<void> {
    const { threadId, checkpointId } = place;
    const namespace = storedNamespace(place.namespace ?? "");
    const held = await this.#hold(threadId, run);
    if (run && run.held !== held) {
      run.checked = this.#checkLatest(run, threadId, namespace);
    }
    await this.#write(held, run, async (leaseToken) => {
      await run?.checked;
      await this.#client.saveWrites(threadId, checkpointId, writes, { namespace, leaseToken });
    });
  }

  /** A thread was deleted, and its lease with it: runs that wrote under it may not continue. */
  deleted(threadId: string): void {
    const held = this.#held.get(threadId);
    if (held) {
      this.#held.delete(threadId);
      this.#lose(held, leaseLost("the thread was deleted"));
    }
  }

  /** Give the lease of a thread back, if it is held. */
  async release(threadId: string): Promise<void> {
    const held = this.#held.get(threadId);
    this.#held.delete(threadId);
    const lease = await held?.lease.catch(() => undefined);
    if (lease && !held?.lost) {
      await lease.release();
    }
  }

  /** Give all leases back. Those that cannot be given back expire. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#held.keys()].map((threadId) => this.release(threadId)));
  }

  /** The lease to write under. Throws LeaseHeld where another has it, LeaseLost where the run may not write. */
  async #hold(threadId: string, run: Run | undefined): Promise<Held> {
    let held = this.#held.get(threadId);
    const lost = run ? run.problem : held?.lost;
    if (lost) {
      throw leaseLost(lost.detail, lost);
    }
    if (held === undefined || held.lost) {
      held = this.#take(threadId);
    }
    held.usedAt = performance.now();
    await held.lease;
    return held;
  }

  #take(threadId: string): Held {
    const acquisitionId = this.#unanswered.get(threadId) ?? randomUUID();
    this.#unanswered.delete(threadId);
    const lease = this.#client.lease(threadId, this.#holder, { ttlMs: this.#ttlMs, acquisitionId });
    const held: Held = { acquisitionId, lease, usedAt: performance.now(), lost: undefined };
    this.#held.set(threadId, held);
    lease.then(
      ({ signal }) => {
        signal.addEventListener("abort", () => {
          held.lost ??= signal.reason;
        });
        this.#dropWhenIdle(threadId, held);
      },
      (error) => this.#notTaken(threadId, held, error),
    );
    return held;
  }

  /** Where no answer came, the server may have given it: the next attempt repeats this one. */
  #notTaken(threadId: string, held: Held, error: unknown): void {
    if (this.#held.get(threadId) === held) {
      this.#held.delete(threadId);
    }
    if (!(error instanceof LeaseHeld)) {
      this.#unanswered.set(threadId, held.acquisitionId);
      for (const oldest of this.#unanswered.keys()) {
        if (this.#unanswered.size <= MOST_UNANSWERED) {
          break;
        }
        this.#unanswered.delete(oldest);
      }
    }
  }

  #dropWhenIdle(threadId: string, held: Held): void {
    const left = held.usedAt + this.#idleMs - performance.now();
    const look = () => {
      if (this.#held.get(threadId) !== held) {
        return;
      }
      if (performance.now() - held.usedAt < this.#idleMs) {
        this.#dropWhenIdle(threadId, held);
      } else {
        this.release(threadId).catch(() => {}); // it expires
      }
    };
    setTimeout(look, Math.max(1, left)).unref();
  }

  /** Write with the token. Takes note of what a run, or all that write under the lease, have lost. */
  async #write<T>(held: Held, run: Run | undefined, work: (leaseToken: bigint) => Promise<T>): Promise<T> {
    if (run) {
      run.held = held;
    }
    try {
      return await work((await held.lease).token);
    } catch (error) {
      if (run && (error instanceof LeaseLost || error instanceof ExpectedLatestMismatch)) {
        run.lost = error;
      }
      if (error instanceof LeaseLost) {
        this.#lose(held, error);
      }
      throw error;
    }
  }

  #lose(held: Held, error: LeaseLost): void {
    held.lost ??= error;
    held.lease.then(
      (lease: Lease) => lease.lose(error),
      () => {},
    );
  }

  /** Before the first writes of a run: what it has read is still the latest, now that it has the lease. */
  async #checkLatest(run: Run, threadId: string, namespace: string): Promise<void> {
    const read = run.latest;
    if (read === undefined || run.hasSaved) {
      return;
    }
    const { checkpoint } = await this.#client
      .loadLatest(threadId, { namespace, view: "header" })
      .catch((error: unknown) => {
        run.held = undefined; // the next writes look again
        throw error;
      });
    const found = checkpoint?.checkpointId ?? "";
    if (found === read || found === run.latest) {
      return; // its own put may have moved it by now
    }
    const metadata = checkpoint && { latest_checkpoint_id: found, latest_step: String(checkpoint.step) };
    throw new ExpectedLatestMismatch(
      `the run began from checkpoint "${read}", and another has saved since: run again from the latest checkpoint`,
      { code: "ABORTED", reason: "EXPECTED_LATEST_MISMATCH", ...(metadata && { metadata }) },
    );
  }
}

function leaseLost(detail: string, cause?: LockstitchError): LeaseLost {
  const told = `this run may not write any more: ${detail}. Run again from the latest checkpoint`;
  return new LeaseLost(told, { code: "ABORTED", reason: "LEASE_LOST", cause });
}
