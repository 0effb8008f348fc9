/** The client: one method for each thing that a runner asks of the server. */

import type { Ancestor, Latest, ListedCheckpoint, Loaded, Saved, SavedWrites, SessionSummary } from "./answers.js";
import { Appender, type AppenderOptions } from "./appending.js";
import type { CallOptions } from "./budget.js";
import { Caller } from "./caller.js";
import type { CheckpointInit, NodeKind, PendingWriteInit } from "./checkpoint.js";
import type { SaveOptions } from "./conditions.js";
import type { ConnectionOptions } from "./connection.js";
import { fromStatus, type LockstitchError } from "./errors.js";
import { type InFlightPolicy, SaveLimiter } from "./limiter.js";
import { type DeltaPolicy, memory } from "./memory.js";
import { Pager } from "./paging.js";
import { type PlainState, Thread, type ThreadOptions } from "./plain/thread.js";
import { waitReady } from "./readiness.js";
import { type RetryPolicy, retryPolicy } from "./retry.js";
import { Saver } from "./saver.js";
import { SessionCalls } from "./sessions.js";
import * as streams from "./streams.js";
import { Transport } from "./transport.js";
import { node } from "./values.js";
import { ancestorOf, latestOf, listedOf, loadedOf, summaryOf } from "./wire/answers.js";
import {
  LIST_CHECKPOINTS,
  LIST_SESSIONS,
  LOAD,
  LOAD_LATEST,
  type LoadLatestStreamResponse,
  SAVE_WRITES,
} from "./wire/methods.js";

export interface ClientOptions extends ConnectionOptions {
  /** Milliseconds that a call may take with its retries, unless it has its own limit. There is always one. Default 30,000. */
  timeoutMs?: number | undefined;
  /** Whether calls wait for a connection and are repeated when they end with UNAVAILABLE, and how. Default true. */
  retry?: Partial<RetryPolicy> | boolean | undefined;
  /** Whether to send only what changed since a session's last save, and how much to remember for it. Default true. */
  delta?: Partial<DeltaPolicy> | boolean | undefined;
  /** Whether saves that are under way at the same time share streams, which takes a fraction of the work. Default true. */
  stream?: boolean | undefined;
  /** How many saves, and how many bytes of them, are in flight at most; others wait. Default: 1024 saves, 32 MiB. */
  inFlight?: Partial<InFlightPolicy> | undefined;
}

/** How much of a checkpoint an answer holds: everything, or everything but its state. */
export type View = "full" | "header";

export interface LoadOptions extends CallOptions {
  /** Default "". */
  namespace?: string | undefined;
  /** Default "full". */
  view?: View | undefined;
  /** Which parts of the state to give: "messages", "errors", "extra", "extra/<key>", "custom", "custom/<name>". Default: all. */
  channels?: string[] | undefined;
}

/** Which checkpoint: by its id or by its step; where several have the step, the one with the greatest id. */
export type Which = { checkpointId: string } | { step: bigint };

export interface WalkOptions extends LoadOptions {
  /** Where to start. Default: the latest. */
  checkpointId?: string | undefined;
  /** Whether to give pending writes, and those of which channels. Default: none; with `includeWrites` all. */
  includeWrites?: boolean | undefined;
  writeChannels?: string[] | undefined;
  /** The maximum number. Default: all. */
  limit?: number | undefined;
}

interface ListOptions extends CallOptions {
  /** How many to fetch at a time, up to 1000. Default 50. */
  pageSize?: number | undefined;
  /** Where to go on; see `Pager.pages`. */
  pageToken?: string | undefined;
}

/** The filters given must all match. */
export interface ListSessionsOptions extends ListOptions {
  sessionIdPrefix?: string | undefined;
  labels?: Record<string, string> | undefined;
  /** Changed then or later. */
  updatedSince?: Date | undefined;
  /** Last changed before then. */
  updatedBefore?: Date | undefined;
  /** Last changed first, or by id. Default "updatedAt". */
  orderBy?: "updatedAt" | "sessionId" | undefined;
}

/** The filters given must all match. */
export interface ListCheckpointsOptions extends ListOptions {
  /** Only this namespace's; "" is the root. Default: those of all namespaces. */
  namespace?: string | undefined;
  /** Bounds of the step, both included. */
  minStep?: bigint | undefined;
  maxStep?: bigint | undefined;
  /** A node that ran or was skipped; a string is the name of a user's node. */
  ranNode?: NodeKind | string | undefined;
  skippedNode?: NodeKind | string | undefined;
  /** Only ids below this one; needs a session. */
  beforeCheckpointId?: string | undefined;
  /** Entries that they have, each a key and its JSON text, compared as JSON values. */
  metadata?: Record<string, string> | undefined;
  /** Whether to count all that match (`Page.totalSize`), which costs a pass over them. */
  includeTotal?: boolean | undefined;
  /** Whether to give pending writes, and those of which channels. Default: none; with `includeWrites` all. */
  includeWrites?: boolean | undefined;
  writeChannels?: string[] | undefined;
  /** Whether to give the size of each channel (`ListedCheckpoint.channels`), which is known without reading the state. */
  includeChannelSizes?: boolean | undefined;
  /**
   * Whether to leave out checkpoints that are damaged in the store, which `Page.damaged` names. Default: a page with one
   * throws DataLoss.
   */
  skipDamaged?: boolean | undefined;
  /** Default "full". */
  view?: View | undefined;
  /** Which parts of the state to give, as in `LoadOptions`. Default: all. */
  channels?: string[] | undefined;
}

/** The answer about one of many sessions. */
export class LatestOf {
  readonly sessionId: string;
  readonly namespace: string;
  /** Why it could not be loaded. */
  readonly error: LockstitchError | undefined;
  readonly #latest: Latest | undefined;

  /** @internal */
  constructor(sessionId: string, namespace: string, { loaded, error }: LoadLatestStreamResponse) {
    this.sessionId = sessionId;
    this.namespace = namespace;
    this.error = error && fromStatus(error);
    this.#latest = loaded && latestOf(loaded);
  }

  /** The latest checkpoint. Throws what went wrong, so that nobody takes that for "none". */
  result(): Latest {
    if (this.#latest === undefined) {
      throw this.error ?? new Error("an answer without a result");
    }
    return this.#latest;
  }
}

const DEFAULT_TARGET = "127.0.0.1:50051";
const DEFAULT_TIMEOUT_MS = 30_000;
const SESSIONS_PER_CALL = 1000;

/**
 * A client. The connection is opened by the first call, which throws `NoConnection` within `connectTimeoutMs` where there
 * is no server. From the first connection on, a server that is away or restarting is waited for; `waitReady` waits for one
 * that has yet to start. Every failed call throws a `LockstitchError`.
 */
export class Client extends SessionCalls implements Disposable {
  readonly #transport: Transport;

  /**
   * target: where the server is, such as "127.0.0.1:50051", "unix:/run/lockstitch.sock" or "dns:///lockstitch:50051"; a
   *     name with many addresses spreads the calls over all of them. A URL, or an address without a port, is a TypeError.
   */
  constructor(target: string = DEFAULT_TARGET, options: ClientOptions = {}) {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, retry = true, delta = true, stream = true } = options;
    const policy = retryPolicy(retry);
    const transport = new Transport(target, options, policy !== undefined);
    const caller = new Caller(transport, policy, timeoutMs);
    super(caller, new Saver(caller, memory(delta), new SaveLimiter(options.inFlight), stream));
    this.#transport = transport;
  }

  /**
   * Store a checkpoint; when this returns, it is durable. What it holds is taken at once: it may be changed afterwards.
   * Where the client remembers the session's last save, only what changed since is sent. Saving the same content again
   * changes nothing. An empty `checkpointId` becomes the step as 20 digits.
   *
   * Throws InvalidArgument (NotJson), ExpectedLatestMismatch, LeaseLost, TooLarge, Unavailable, DeadlineExceeded and the
   * other LockstitchErrors that any call may throw.
   */
  save(checkpoint: CheckpointInit, options?: SaveOptions): Promise<Saved> {
    return this.saver.save(checkpoint, options);
  }

  /**
   * Store pending writes of a checkpoint, all of them or none. The checkpoint, the one from which their step started,
   * need not exist yet. Under an index of 0 and above the first write stays; below 0, a later one replaces it.
   */
  saveWrites(
    sessionId: string,
    checkpointId: string,
    writes: readonly PendingWriteInit[],
    options: CallOptions & { namespace?: string | undefined; leaseToken?: bigint | undefined } = {},
  ): Promise<SavedWrites> {
    const { namespace = "", leaseToken = 0n } = options;
    const request = { sessionId, checkpointId, writes, namespace, leaseToken };
    return this.caller.call(SAVE_WRITES, request, options);
  }

  /** The latest checkpoint, the one with the greatest id, and its pending writes. No such session: `checkpoint` is undefined. */
  async loadLatest(sessionId: string, options: LoadOptions = {}): Promise<Latest> {
    return latestOf(await this.caller.call(LOAD_LATEST, latestRequest(sessionId, options), options));
  }

  /** One checkpoint and its pending writes. Throws NotFound. */
  async load(sessionId: string, which: Which, options: LoadOptions = {}): Promise<Loaded> {
    const request = { ...latestRequest(sessionId, options), ...which };
    return loadedOf(await this.caller.call(LOAD, request, options));
  }

  /**
   * The latest checkpoints of many sessions, in any order: for a fleet that restarts. `timeoutMs` is how long to wait
   * without progress; a stream that breaks off is continued. An error of one session is in its answer.
   */
  async *loadLatestMany(
    sessions: Iterable<string | { sessionId: string; namespace?: string }>,
    options: CallOptions & { view?: View | undefined; channels?: string[] | undefined } = {},
  ): AsyncGenerator<LatestOf, void, undefined> {
    const refs = Array.from(sessions, (one) => (typeof one === "string" ? { sessionId: one } : one));
    const requests = refs.map(({ sessionId, namespace }) =>
      latestRequest(sessionId, { namespace, view: options.view, channels: options.channels }),
    );
    for (let start = 0; start < requests.length; start += SESSIONS_PER_CALL) {
      const some = requests.slice(start, start + SESSIONS_PER_CALL);
      for await (const [request, answer] of streams.loadLatestMany(this.caller, some, options)) {
        yield new LatestOf(request.sessionId ?? "", request.namespace ?? "", answer);
      }
    }
  }

  /** Back along `parentId`, nearest ancestor first, without the checkpoint itself. `timeoutMs` as in `loadLatestMany`. */
  async *walkAncestors(sessionId: string, options: WalkOptions = {}): AsyncGenerator<Ancestor, void, undefined> {
    const { checkpointId = "", includeWrites = false, writeChannels = [], limit = 0 } = options;
    const asked = { checkpointId, includeWrites, writeChannels, limit };
    const request = { ...latestRequest(sessionId, options), ...asked };
    for await (const ancestor of streams.walkAncestors(this.caller, request, options)) {
      yield ancestorOf(ancestor);
    }
  }

  /** Sessions that have at least one checkpoint. `timeoutMs` is for each page. */
  listSessions(options: ListSessionsOptions = {}): Pager<SessionSummary> {
    const { sessionIdPrefix = "", labels = {}, updatedSince, updatedBefore, orderBy, pageSize = 0 } = options;
    const query = {
      pageSize,
      sessionIdPrefix,
      labels,
      orderBy: orderBy === "sessionId" ? "SESSION_ID" : "UPDATED_AT",
      updatedSince,
      updatedBefore,
    };
    return new Pager(async (pageToken) => {
      const request = { ...query, pageToken };
      const { sessions, nextPageToken } = await this.caller.call(LIST_SESSIONS, request, options);
      return { items: sessions.map(summaryOf), nextPageToken };
    }, options.pageToken ?? "");
  }

  /** Checkpoints, newest first. `sessionId`: "" means those of all sessions. `timeoutMs` is for each page. */
  listCheckpoints(sessionId = "", options: ListCheckpointsOptions = {}): Pager<ListedCheckpoint> {
    const { namespace, minStep, maxStep, ranNode, skippedNode, metadata = {}, pageSize = 0 } = options;
    const query = {
      sessionId,
      pageSize,
      metadata,
      beforeCheckpointId: options.beforeCheckpointId ?? "",
      includeTotal: options.includeTotal ?? false,
      includeWrites: options.includeWrites ?? false,
      writeChannels: options.writeChannels ?? [],
      includeChannelSizes: options.includeChannelSizes ?? false,
      skipDamaged: options.skipDamaged ?? false,
      view: viewOf(options.view),
      channels: options.channels ?? [],
      namespace,
      minStep,
      maxStep,
      ranNode: nodeOf(ranNode),
      skippedNode: nodeOf(skippedNode),
    };
    return new Pager(async (pageToken) => {
      const request = { ...query, pageToken };
      return listedOf(await this.caller.call(LIST_CHECKPOINTS, request, options));
    }, options.pageToken ?? "");
  }

  /**
   * A session that holds one plain state, which `save` and `load` store and give back. Makes no call.
   *
   *     const thread = client.thread<{ messages: string[] }>("order-42");
   */
  thread<S extends object = PlainState>(threadId: string, options?: ThreadOptions<S>): Thread<S> {
    return new Thread<S>(this, this.saver, threadId, options);
  }

  /**
   * Appends to the list channels of a session, whichever checkpoint is the latest, by any number of programs at the same time.
   * Makes no call. For adapters; `thread.append` serves programs.
   */
  appender(sessionId: string, options: AppenderOptions): Appender {
    return new Appender(this.caller, sessionId, options);
  }

  /** Wait until the server says that it is ready to work. Throws DeadlineExceeded if it does not in time. */
  waitReady(options?: CallOptions): Promise<void> {
    return waitReady(this.#transport, this.caller.budget(options));
  }

  /** End running calls, which throw Cancelled, and the connection. May be repeated. */
  close(): void {
    this.saver.close();
    this.#transport.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function latestRequest(sessionId: string, { namespace = "", view, channels = [] }: LoadOptions) {
  return { sessionId, namespace, view: viewOf(view), channels };
}

function viewOf(view: View | undefined): "FULL" | "HEADER" {
  return view === "header" ? "HEADER" : "FULL";
}

function nodeOf(value: NodeKind | string | undefined): NodeKind | undefined {
  return typeof value === "string" ? node(value) : value;
}
