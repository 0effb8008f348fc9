/** The client's calls for sessions as a whole. */

import { randomUUID } from "node:crypto";
import type { Copied, Deleted, Retention, Session, SessionEvent } from "./answers.js";
import type { CallOptions } from "./budget.js";
import type { Caller } from "./caller.js";
import { Internal, LeaseHeld } from "./errors.js";
import { type HeldLease, Lease } from "./lease.js";
import { Runner } from "./runner.js";
import type { Saver } from "./saver.js";
import { type WatchOptions, watch } from "./watch.js";
import { latestOf, leaseOf, sessionOf } from "./wire/answers.js";
import {
  ACQUIRE_LEASE,
  BREAK_LEASE,
  COPY_SESSION,
  DELETE_CHECKPOINTS,
  DELETE_SESSIONS,
  GET_SESSION,
  type LeaseResponse,
  LOAD_LATEST,
  PRUNE_SESSIONS,
  RELEASE_LEASE,
  RENEW_LEASE,
  UPDATE_SESSION,
} from "./wire/methods.js";

/** A checkpoint of a session. */
export interface CheckpointRef {
  /** Default "". */
  namespace?: string | undefined;
  checkpointId: string;
}

export interface UpdateSessionOptions extends CallOptions {
  setLabels?: Record<string, string> | undefined;
  removeLabels?: string[] | undefined;
  /** Sliding expiry, counted from now; null: the session stays for ever. */
  ttlMs?: number | null | undefined;
  /** Retention in place of the server's; null: the server's again. */
  retention?: Retention | null | undefined;
  leaseToken?: bigint | undefined;
}

export interface DeleteSessionsOptions extends CallOptions {
  /** How long they cannot be created again. Default: the server's, 1 hour. 0: they can at once. */
  tombstoneMs?: number | undefined;
}

export interface CopySessionOptions extends CallOptions {
  /** Copy up to this checkpoint. Default: everything. */
  at?: CheckpointRef | undefined;
  labels?: Record<string, string> | undefined;
  ttlMs?: number | undefined;
}

export interface PruneOptions extends CallOptions {
  /** Default: what each session's own policy says, else the server's. */
  retention?: Retention | undefined;
  /** Only tell what would go. */
  dryRun?: boolean | undefined;
  /** How many sessions to visit in a call if none are named, up to 1000. Default 50. */
  pageSize?: number | undefined;
}

/** What is gone, or would be. */
export interface Pruned {
  checkpoints: bigint;
  bytes: bigint;
  sessions: bigint;
}

export interface LeaseOptions extends CallOptions {
  /** How long the lease lasts unless renewed, 1000 to a day. Default: the server's, 30,000. */
  ttlMs?: number | undefined;
}

export interface BreakLeaseOptions extends CallOptions {
  /** Only the lease that was acquired then (`LeaseInfo.acquiredAt`). Default: whichever is live. */
  acquiredAt?: Date | undefined;
}

export interface AcquireOptions extends LeaseOptions {
  /** Whether to wait while another holds it, for as long as the call may take. Default: LeaseHeld is thrown at once. */
  wait?: boolean | undefined;
  /**
   * Identifies the attempt. An attempt that ended without an answer may have succeeded: the next one with the same id gets
   * the same lease. Default: a new one for each call.
   */
  acquisitionId?: string | undefined;
}

/** How long to wait before asking again whether a lease is free: at most so long, whatever the server says. */
const ASK_AGAIN_MS = 2000;

export abstract class SessionCalls {
  /** @internal */
  protected readonly caller: Caller;
  /** @internal */
  protected readonly saver: Saver;

  /** @internal */
  protected constructor(caller: Caller, saver: Saver) {
    this.caller = caller;
    this.saver = saver;
  }

  /** One session with its settings. Throws SessionNotFound. */
  async getSession(sessionId: string, options?: CallOptions): Promise<Session> {
    return sessionOf(await this.caller.call(GET_SESSION, { sessionId }, options));
  }

  /** Change labels, expiry or retention. What is not given stays. Throws SessionNotFound, LeaseLost. */
  async updateSession(sessionId: string, options: UpdateSessionOptions): Promise<Session> {
    const { setLabels = {}, removeLabels = [], ttlMs, retention, leaseToken = 0n } = options;
    const request = {
      sessionId,
      setLabels,
      removeLabels,
      leaseToken,
      clearTtl: ttlMs === null,
      clearRetention: retention === null,
      ttl: ttlMs ?? undefined,
      retention: retentionOf(retention),
    };
    return sessionOf((await this.caller.call(UPDATE_SESSION, request, options)).session);
  }

  /** Delete sessions with all they have, and keep late saves from bringing them back. How many existed. */
  async deleteSessions(sessionIds: string[], options: DeleteSessionsOptions = {}): Promise<number> {
    const request = { sessionIds, tombstone: options.tombstoneMs };
    return (await this.caller.call(DELETE_SESSIONS, request, options)).deleted;
  }

  /** Delete what came after a checkpoint. Throws NotFound, LeaseLost. */
  rewindSession(
    sessionId: string,
    after: CheckpointRef,
    options: CallOptions & { leaseToken?: bigint | undefined } = {},
  ): Promise<Deleted> {
    const { leaseToken = 0n } = options;
    return this.caller.call(DELETE_CHECKPOINTS, { sessionId, leaseToken, after }, options);
  }

  /**
   * Delete the checkpoints that have all these metadata entries, each a key and its JSON text.
   *
   * sessionId: "" means those of all sessions.
   */
  deleteCheckpoints(
    sessionId: string,
    metadata: Record<string, string>,
    options: CallOptions & { leaseToken?: bigint | undefined } = {},
  ): Promise<Deleted> {
    const { leaseToken = 0n } = options;
    return this.caller.call(DELETE_CHECKPOINTS, { sessionId, leaseToken, metadata: { entries: metadata } }, options);
  }

  /** Copy a session, or its beginning, into a new one. Throws SessionNotFound, AlreadyExists. */
  copySession(source: string, target: string, options: CopySessionOptions = {}): Promise<Copied> {
    const { at, labels = {}, ttlMs } = options;
    const request = { sourceSessionId: source, targetSessionId: target, at, labels, ttl: ttlMs };
    return this.caller.call(COPY_SESSION, request, options);
  }

  /** Delete old checkpoints. `sessionIds`: none means all sessions, page by page; `timeoutMs` is then for each page. */
  async pruneSessions(sessionIds: string[] = [], options: PruneOptions = {}): Promise<Pruned> {
    const sum: Pruned = { checkpoints: 0n, bytes: 0n, sessions: 0n };
    const request = {
      sessionIds,
      dryRun: options.dryRun ?? false,
      retention: retentionOf(options.retention),
      pageSize: options.pageSize ?? 0,
      pageToken: "",
    };
    do {
      const page = await this.caller.call(PRUNE_SESSIONS, request, options);
      sum.checkpoints += page.checkpoints;
      sum.bytes += page.bytes;
      sum.sessions += page.sessions;
      request.pageToken = page.nextPageToken;
    } while (request.pageToken);
    return sum;
  }

  /**
   * Follow a session, heartbeats included, until the loop is left or the signal given. A call that breaks off is
   * continued with the last token. Throws ResumeTooOld; Unavailable or DeadlineExceeded when the server has been away for
   * longer than a call may take.
   */
  watchSession(sessionId: string, options?: WatchOptions): AsyncGenerator<SessionEvent, void, undefined> {
    return watch(this.caller, sessionId, options);
  }

  /**
   * Take the lease of a session. `holder`: a readable name, which others are shown; it need not be unique. Throws
   * LeaseHeld while the lease of another call lasts, even of one with the same holder.
   */
  async acquireLease(sessionId: string, holder: string, options: AcquireOptions = {}): Promise<HeldLease> {
    const budget = this.caller.budget(options);
    const request = {
      sessionId,
      holder,
      ttl: options.ttlMs,
      acquisitionId: options.acquisitionId ?? randomUUID(),
    };
    for (;;) {
      try {
        const timeoutMs = Math.max(1, budget.remaining);
        const call = { timeoutMs, signal: options.signal };
        return held(await this.caller.call(ACQUIRE_LEASE, request, call));
      } catch (error) {
        if (!options.wait || !(error instanceof LeaseHeld) || budget.remaining <= ASK_AGAIN_MS) {
          throw error;
        }
        await budget.sleep(Math.min(error.retryDelayMs ?? ASK_AGAIN_MS, ASK_AGAIN_MS));
      }
    }
  }

  /** Prolong a lease that is live. Throws LeaseLost. */
  async renewLease(sessionId: string, leaseToken: bigint, options: LeaseOptions = {}): Promise<HeldLease> {
    const request = { sessionId, leaseToken, ttl: options.ttlMs };
    return held(await this.caller.call(RENEW_LEASE, request, options));
  }

  /** Give a lease back. Whether it was held under this token. */
  async releaseLease(sessionId: string, leaseToken: bigint, options?: CallOptions): Promise<boolean> {
    const request = { sessionId, leaseToken };
    return (await this.caller.call(RELEASE_LEASE, request, options)).released;
  }

  /**
   * End the live lease of a session, whoever holds it: for operators, where a holder is gone or hangs. Whether there was one.
   * What its holder writes from then on throws LeaseLost.
   *
   *     const { lease } = await client.getSession("order-4711");
   *     await client.breakLease("order-4711", { acquiredAt: lease?.acquiredAt });
   */
  async breakLease(sessionId: string, options: BreakLeaseOptions = {}): Promise<boolean> {
    const request = { sessionId, acquiredAt: options.acquiredAt };
    return (await this.caller.call(BREAK_LEASE, request, options)).broken;
  }

  /** Take the lease of a session, and renew it in the background until `release`. Throws LeaseHeld. */
  async lease(sessionId: string, holder: string, options: AcquireOptions = {}): Promise<Lease> {
    return new Lease(this.caller, sessionId, await this.acquireLease(sessionId, holder, options));
  }

  /** Take the lease of a session, load its latest checkpoint, and keep the lease until `release`. Throws LeaseHeld. */
  async run(sessionId: string, holder: string, options: AcquireOptions = {}): Promise<Runner> {
    const lease = await this.lease(sessionId, holder, options);
    try {
      const latest = latestOf(await this.caller.call(LOAD_LATEST, { sessionId }, options));
      return new Runner(this.caller, this.saver, lease, latest);
    } catch (error) {
      await lease.release().catch(() => false); // it will run out
      throw error;
    }
  }
}

function retentionOf(
  given: Retention | null | undefined,
): { keepLast: number; maxAge: number | undefined } | undefined {
  return given ? { keepLast: given.keepLast ?? 0, maxAge: given.maxAgeMs } : undefined;
}

function held({ lease, ttl = 0 }: LeaseResponse): HeldLease {
  if (lease === undefined) {
    throw new Internal("the server's response lacks the lease", { code: "INTERNAL" });
  }
  return { ...leaseOf(lease), token: lease.token, ttlMs: ttl };
}
