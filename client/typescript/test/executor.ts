/** The executor of this client for the harness of all languages, whose README says what each operation does. */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { context, propagation } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  type Checkpoint,
  Client,
  type ClientOptions,
  type ExpectedLatest,
  type HeldLease,
  type Latest,
  LockstitchError,
  NONE,
  type PendingWrite,
  type Retention,
  type Runner,
  type Saved,
  type Session,
  type SessionEvent,
  type SessionSummary,
  type Timestamp,
} from "../src/index.js";
import {
  CheckpointDetailsSchema,
  CheckpointSchema,
  decode,
  encode,
  GetSessionResponseSchema,
  PendingWriteSchema,
  SessionSummarySchema,
  WatchSessionResponseSchema,
} from "../src/v1.js";
import {
  type Args,
  change,
  fromNanoseconds,
  known,
  nanoseconds,
  type Ok,
  optionalBigInt,
  present,
  viewOf,
} from "./executor_edit.js";
import { PlainOperations } from "./executor_plain.js";

let connected: Client | undefined;
let runner: Runner | undefined;

function client(): Client {
  if (connected === undefined) {
    throw new Error("not connected");
  }
  return connected;
}

const plain = new PlainOperations(client);

async function save(args: Args): Promise<Ok> {
  return saved(await traced(args, () => client().save(checkpointOf(args), saveOptions(args))));
}

/** A single save uses streams by itself. */
async function saveMany({ saves }: Args): Promise<Ok> {
  return { results: await Promise.all(saves.map((one: Args) => resultOf(save(one)))) };
}

const operations: Record<string, (args: Args) => Promise<Ok>> = {
  ...plain.operations,

  async connect({ target, timeout_ms, connect_timeout_ms, api_key, tls, delta, retry }) {
    connected?.close();
    plain.clear();
    const given = {
      timeoutMs: timeout_ms,
      connectTimeoutMs: connect_timeout_ms,
      apiKey: api_key,
      tls: tlsOf(tls),
      delta,
      retry,
    };
    const known = Object.entries(given).filter(([, value]) => value !== undefined && value !== null);
    connected = new Client(target, Object.fromEntries(known) as ClientOptions);
    return {};
  },

  save,

  save_many: saveMany,
  save_concurrently: saveMany,

  async edit(args) {
    const { checkpoint } = await client().loadLatest(args.session_id, { namespace: args.namespace ?? "" });
    change(known(checkpoint), args.edit);
    return saved(await client().save(known(checkpoint), saveOptions(args)));
  },

  async view({ session_id, namespace }) {
    return viewOf(known((await client().loadLatest(session_id, { namespace: namespace ?? "" })).checkpoint));
  },

  async save_writes({ session_id, checkpoint_id, writes, namespace, lease_token }) {
    const options = { namespace: namespace ?? "", leaseToken: BigInt(lease_token ?? 0) };
    const answer = await client().saveWrites(session_id, checkpoint_id, writesOf(writes), options);
    return { revision: String(answer.revision), stored: answer.stored };
  },

  async load_latest(args) {
    return loaded(await client().loadLatest(args.session_id, { ...loadOptions(args), ...timeoutOf(args) }));
  },

  async load(args) {
    const { checkpoint_id, step } = args;
    const which = present(step) ? { step: BigInt(step) } : { checkpointId: checkpoint_id };
    return loaded(await client().load(args.session_id, which, loadOptions(args)));
  },

  async load_latest_many({ sessions, view, channels }) {
    const refs = sessions.map((one: Args) => ({ sessionId: one.session_id, namespace: one.namespace ?? "" }));
    const answers: Ok[] = [];
    for await (const answer of client().loadLatestMany(refs, { ...viewOption(view), channels: channels ?? [] })) {
      const result = await resultOf((async () => loaded(answer.result()))());
      answers.push({ session_id: answer.sessionId, namespace: answer.namespace, ...result });
    }
    return { answers };
  },

  async list_sessions({ session_id_prefix, labels, order_by, page_size, max_items, ...more }) {
    const pager = client().listSessions({
      sessionIdPrefix: session_id_prefix ?? "",
      labels: labels ?? {},
      orderBy: order_by === "SESSION_ID" ? "sessionId" : "updatedAt",
      pageSize: page_size ?? 0,
      pageToken: more.page_token ?? "",
      updatedSince: optionalTime(more.updated_since),
      updatedBefore: optionalTime(more.updated_before),
    });
    const sessions = await first(pager, max_items);
    return { sessions: sessions.map((one) => base64(encode(SessionSummarySchema, summaryMessage(one)))) };
  },

  async list_checkpoints(args) {
    const pager = client().listCheckpoints(args.session_id ?? "", listOptions(args));
    const items = await first(pager, args.max_items);
    return {
      checkpoints: items.map(({ checkpoint, revision, stateBytes, pendingWrites }) => ({
        checkpoint: encodedCheckpoint(checkpoint),
        revision: String(revision),
        state_bytes: String(stateBytes),
        pending_writes: encodedWrites(pendingWrites),
      })),
    };
  },

  async list_checkpoints_page(args) {
    const pages = client()
      .listCheckpoints(args.session_id ?? "", listOptions(args))
      .pages();
    const { items, nextPageToken, totalSize, damaged = [] } = known((await pages.next()).value || undefined);
    return {
      checkpoints: items.map(({ checkpoint, ...details }) => ({
        checkpoint: encodedCheckpoint(checkpoint),
        details: base64(encode(CheckpointDetailsSchema, details)),
      })),
      damaged: await Promise.all(
        damaged.map(async ({ error, ...which }) => ({ ...which, ...(await resultOf(Promise.reject(error))) })),
      ),
      total_size: String(totalSize ?? 0n),
      next_page_token: nextPageToken,
    };
  },

  async walk_ancestors(args) {
    const ancestors: Ok[] = [];
    const options = {
      ...loadOptions(args),
      checkpointId: args.checkpoint_id ?? "",
      includeWrites: args.include_writes ?? false,
      writeChannels: args.write_channels ?? [],
      limit: args.limit ?? 0,
    };
    for await (const { checkpoint, pendingWrites, revision } of client().walkAncestors(args.session_id, options)) {
      const told = encodedCheckpoint(checkpoint);
      ancestors.push({ checkpoint: told, pending_writes: encodedWrites(pendingWrites), revision: String(revision) });
    }
    return { ancestors };
  },

  async get_session({ session_id }) {
    return { session: encodedSession(await client().getSession(session_id)) };
  },

  async update_session(args) {
    const session = await client().updateSession(args.session_id, {
      setLabels: args.set_labels ?? {},
      removeLabels: args.remove_labels ?? [],
      ttlMs: args.clear_ttl ? null : (args.ttl_ms ?? undefined),
      retention: args.clear_retention ? null : retentionOf(args.retention),
      leaseToken: BigInt(args.lease_token ?? 0),
    });
    return { session: encodedSession(session) };
  },

  async delete_sessions({ session_ids, tombstone_ms }) {
    return { deleted: await client().deleteSessions(session_ids, { tombstoneMs: tombstone_ms ?? undefined }) };
  },

  async delete_checkpoints({ session_id, after, metadata, lease_token }) {
    const options = { leaseToken: BigInt(lease_token ?? 0) };
    const { deleted, revision } = present(after)
      ? await client().rewindSession(session_id ?? "", refOf(after), options)
      : await client().deleteCheckpoints(session_id ?? "", metadata ?? {}, options);
    return { deleted: String(deleted), revision: String(revision) };
  },

  async copy_session({ source, target, at, labels, ttl_ms }) {
    const options = { labels: labels ?? {}, ttlMs: ttl_ms ?? undefined, at: present(at) ? refOf(at) : undefined };
    const { revision, checkpointCount } = await client().copySession(source, target, options);
    return { revision: String(revision), checkpoint_count: String(checkpointCount) };
  },

  async prune_sessions({ session_ids, retention, dry_run, page_size }) {
    const options = { retention: retentionOf(retention), dryRun: dry_run ?? false, pageSize: page_size ?? 0 };
    const pruned = await client().pruneSessions(session_ids ?? [], options);
    return Object.fromEntries(Object.entries(pruned).map(([name, count]) => [name, String(count)]));
  },

  async watch_session({ session_id, resume_token, count, heartbeat_ms }) {
    const events: string[] = [];
    let token = "";
    const options = { resumeToken: resume_token ?? undefined, heartbeatMs: heartbeat_ms ?? undefined };
    for await (const answer of client().watchSession(session_id, options)) {
      token = answer.resumeToken;
      if (answer.type !== "heartbeat") {
        events.push(encodedEvent(answer));
      }
      if (events.length >= count) {
        break;
      }
    }
    return { events, resume_token: token };
  },

  async acquire_lease({ session_id, holder, ttl_ms, acquisition_id }) {
    const options = { ttlMs: ttl_ms ?? undefined, acquisitionId: acquisition_id ?? undefined };
    return lease(await client().acquireLease(session_id, holder, options));
  },

  async break_lease({ session_id, acquired_at }) {
    return { broken: await client().breakLease(session_id, { acquiredAt: optionalTime(acquired_at) }) };
  },

  async renew_lease({ session_id, lease_token, ttl_ms }) {
    return lease(await client().renewLease(session_id, BigInt(lease_token), { ttlMs: ttl_ms ?? undefined }));
  },

  async release_lease({ session_id, lease_token }) {
    return { released: await client().releaseLease(session_id, BigInt(lease_token)) };
  },

  async runner_start({ session_id, holder, ttl_ms }) {
    runner = await client().run(session_id, holder, { ttlMs: ttl_ms ?? undefined });
    return {
      token: String(runner.token),
      checkpoint: runner.checkpoint ? encodedCheckpoint(runner.checkpoint) : null,
    };
  },

  async runner_save(args) {
    return saved(await (runner as Runner).save(checkpointOf(args)));
  },

  async runner_stop() {
    return { released: await (runner as Runner).release() };
  },
};

function tlsOf(tls: Args): ClientOptions["tls"] {
  if (!present(tls)) {
    return undefined;
  }
  const content = (path?: string) => (path ? readFileSync(path) : undefined);
  const { ca, cert, key, server_name } = tls;
  return { ca: content(ca), cert: content(cert), key: content(key), serverName: server_name ?? undefined };
}

function traced<T>({ traceparent }: Args, work: () => Promise<T>): Promise<T> {
  const active = context.active();
  return context.with(present(traceparent) ? propagation.extract(active, { traceparent }) : active, work);
}

function saveOptions(args: Args) {
  return {
    expectedLatest: expectedLatest(args.expected_latest),
    expectedRevision: BigInt(args.expected_latest?.revision ?? 0),
    writes: writesOf(args.writes),
    ttlMs: args.ttl_ms ?? undefined,
    leaseToken: BigInt(args.lease_token ?? 0),
    ...timeoutOf(args),
  };
}

function expectedLatest(expected: Args): ExpectedLatest | undefined {
  if (!present(expected)) {
    return undefined;
  }
  if (expected.none) {
    return NONE;
  }
  return present(expected.step) ? BigInt(expected.step) : expected.checkpoint_id;
}

async function first<T>(items: AsyncIterable<T>, most: number | undefined): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length === most) {
      break;
    }
  }
  return taken;
}

function checkpointOf({ checkpoint }: Args): Checkpoint {
  return decode<Checkpoint>(CheckpointSchema, Buffer.from(checkpoint, "base64"));
}

function writesOf(writes: string[] | undefined | null): PendingWrite[] {
  return (writes ?? []).map((one) => decode<PendingWrite>(PendingWriteSchema, Buffer.from(one, "base64")));
}

function encodedWrites(writes: PendingWrite[]): string[] {
  return writes.map((one) => base64(encode(PendingWriteSchema, one)));
}

function retentionOf(retention: Args): Retention | undefined {
  if (!present(retention)) {
    return undefined;
  }
  return { keepLast: retention.keep_last ?? undefined, maxAgeMs: retention.max_age_ms ?? undefined };
}

function refOf({ namespace, checkpoint_id }: Args) {
  return { namespace: namespace ?? "", checkpointId: checkpoint_id };
}

function loadOptions({ namespace, view, channels }: Args) {
  return { namespace: namespace ?? "", channels: channels ?? [], ...viewOption(view) };
}

function listOptions(args: Args) {
  return {
    namespace: args.namespace ?? undefined,
    minStep: optionalBigInt(args.min_step),
    maxStep: optionalBigInt(args.max_step),
    ranNode: args.ran_node ?? undefined,
    skippedNode: args.skipped_node ?? undefined,
    beforeCheckpointId: args.before_checkpoint_id ?? "",
    metadata: args.metadata ?? {},
    includeTotal: args.include_total ?? false,
    includeWrites: args.include_writes ?? false,
    writeChannels: args.write_channels ?? [],
    includeChannelSizes: args.include_channel_sizes ?? false,
    skipDamaged: args.skip_damaged ?? false,
    channels: args.channels ?? [],
    pageSize: args.page_size ?? 0,
    pageToken: args.page_token ?? "",
    ...viewOption(args.view),
  };
}

function viewOption(view: Args) {
  return { view: view === "HEADER" ? ("header" as const) : ("full" as const) };
}

function timeoutOf({ timeout_ms }: Args) {
  return { timeoutMs: timeout_ms ?? undefined };
}

function lease({ token, holder, ttlMs, acquiredAt, expireAt }: HeldLease): Ok {
  const times = { acquired_at: nanoseconds(acquiredAt), expire_at: nanoseconds(expireAt) };
  return { token: String(token), holder, ttl_ms: ttlMs, ...times };
}

function saved({ checkpointId, revision, outcome, savedAt }: Saved): Ok {
  return { checkpoint_id: checkpointId, revision: String(revision), outcome, saved_at: nanoseconds(savedAt) };
}

function loaded({ checkpoint, pendingWrites, revision, checkpointRevision, traceId = "" }: Latest): Ok {
  return {
    checkpoint: checkpoint ? encodedCheckpoint(checkpoint) : null,
    pending_writes: encodedWrites(pendingWrites),
    revision: String(revision),
    checkpoint_revision: String(checkpointRevision),
    trace_id: traceId,
  };
}

function encodedCheckpoint(checkpoint: Checkpoint): string {
  return base64(encode(CheckpointSchema, checkpoint));
}

function summaryMessage({ error, ...summary }: SessionSummary) {
  return { ...summary, error: error && { code: 15, message: error.detail, details: [] } };
}

function encodedSession({ ttlMs, retention, lease, ...summary }: Session): string {
  const { keepLast, maxAgeMs } = retention ?? {};
  const message = {
    session: summaryMessage(summary),
    ttl: ttlMs,
    retention: retention && { keepLast, maxAge: maxAgeMs },
    lease,
  };
  return base64(encode(GetSessionResponseSchema, message));
}

function encodedEvent({ resumeToken, revision, type, ...event }: SessionEvent): string {
  return base64(encode(WatchSessionResponseSchema, { resumeToken, revision, [type]: event }));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function optionalTime(text: string | undefined | null): Timestamp | undefined {
  return present(text) ? fromNanoseconds(BigInt(text)) : undefined;
}

async function resultOf(work: Promise<Ok>): Promise<Ok> {
  try {
    return { ok: await work };
  } catch (error) {
    if (!(error instanceof LockstitchError)) {
      throw error;
    }
    const { code, reason, metadata, detail } = error;
    return { error: { code, reason, metadata, message: detail } };
  }
}

async function answerTo({ op, args }: { op: string; args: Args }): Promise<Ok> {
  const operation = Object.hasOwn(operations, op) ? operations[op] : undefined;
  if (operation === undefined) {
    return { fault: `there is no operation ${op}` };
  }
  try {
    return await resultOf(operation(args ?? {}));
  } catch (error) {
    console.error(error);
    return { fault: String(error) };
  }
}

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ id: request.id, ...(await answerTo(request)) })}\n`);
}
connected?.close();
