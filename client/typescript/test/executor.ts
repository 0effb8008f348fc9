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
  type CustomChannel,
  type ExpectedLatest,
  type HeldLease,
  type Latest,
  LockstitchError,
  NONE,
  type NodeKind,
  node,
  type PendingWrite,
  type Retention,
  type Runner,
  type Saved,
  type Session,
  type SessionEvent,
  type SessionSummary,
  Timestamp,
  type VersionedState,
} from "../src/index.js";
import {
  CheckpointSchema,
  decode,
  encode,
  GetSessionResponseSchema,
  PendingWriteSchema,
  SessionSummarySchema,
  WatchSessionResponseSchema,
} from "../src/v1.js";
import { PlainOperations } from "./executor_plain.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments are what the harness sends
type Args = any;
type Ok = Record<string, unknown>;

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

  async load_latest_many({ sessions, view }) {
    const refs = sessions.map((one: Args) => ({ sessionId: one.session_id, namespace: one.namespace ?? "" }));
    const answers: Ok[] = [];
    for await (const answer of client().loadLatestMany(refs, viewOption(view))) {
      const result = await resultOf((async () => loaded(answer.result()))());
      answers.push({ session_id: answer.sessionId, namespace: answer.namespace, ...result });
    }
    return { answers };
  },

  async list_sessions({ session_id_prefix, labels, order_by, page_size, max_items }) {
    const pager = client().listSessions({
      sessionIdPrefix: session_id_prefix ?? "",
      labels: labels ?? {},
      orderBy: order_by === "SESSION_ID" ? "sessionId" : "updatedAt",
      pageSize: page_size ?? 0,
    });
    const sessions = await first(pager, max_items);
    return { sessions: sessions.map((one) => base64(encode(SessionSummarySchema, summaryMessage(one)))) };
  },

  async list_checkpoints(args) {
    const pager = client().listCheckpoints(args.session_id ?? "", {
      namespace: args.namespace ?? undefined,
      minStep: optionalBigInt(args.min_step),
      maxStep: optionalBigInt(args.max_step),
      ranNode: args.ran_node ?? undefined,
      skippedNode: args.skipped_node ?? undefined,
      beforeCheckpointId: args.before_checkpoint_id ?? "",
      metadata: args.metadata ?? {},
      includeWrites: args.include_writes ?? false,
      pageSize: args.page_size ?? 0,
      ...viewOption(args.view),
    });
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

  async walk_ancestors(args) {
    const ancestors: Ok[] = [];
    const options = {
      ...loadOptions(args),
      checkpointId: args.checkpoint_id ?? "",
      channels: args.channels ?? [],
      includeWrites: args.include_writes ?? false,
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

  async prune_sessions({ session_ids, retention, dry_run }) {
    const options = { retention: retentionOf(retention), dryRun: dry_run ?? false };
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

  async acquire_lease({ session_id, holder, ttl_ms }) {
    return lease(await client().acquireLease(session_id, holder, { ttlMs: ttl_ms ?? undefined }));
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

/** What `edit` says, in this language's own types. */
function change(checkpoint: Checkpoint, edit: Args): void {
  const { checkpoint_id, parent_id, step, concurrency_limit, created_at, seen, append_frontier, set_metadata } = edit;
  checkpoint.checkpointId = checkpoint_id ?? checkpoint.checkpointId;
  checkpoint.parentId = parent_id ?? checkpoint.parentId;
  checkpoint.step = optionalBigInt(step) ?? checkpoint.step;
  checkpoint.concurrencyLimit = optionalBigInt(concurrency_limit) ?? checkpoint.concurrencyLimit;
  if (present(created_at)) {
    checkpoint.createdAt = fromNanoseconds(BigInt(created_at));
  }
  if (present(seen)) {
    checkpoint.versionsSeen[seen.node] ??= { versions: {} };
    known(checkpoint.versionsSeen[seen.node]).versions[seen.channel] = BigInt(seen.version);
  }
  if (present(append_frontier)) {
    checkpoint.frontier.push(node(append_frontier));
  }
  Object.assign(checkpoint.metadata, set_metadata);
  checkpoint.state ??= { custom: {} };
  changeState(checkpoint.state, edit);
}

function changeState(state: VersionedState, edit: Args): void {
  const { append_message, messages_version, set_extra, remove_extra, append_item } = edit;
  if (present(append_message)) {
    known(state.messages).items.push(append_message);
  }
  if (present(messages_version)) {
    known(state.messages).version = messages_version;
  }
  if (present(set_extra)) {
    Object.assign(known(state.extra).entries, set_extra);
  }
  for (const key of remove_extra ?? []) {
    delete known(state.extra).entries[key];
  }
  if (present(append_item)) {
    const { channel, type, data } = append_item;
    const custom: CustomChannel = known(state.custom[channel]);
    known(custom.list).items.push({ type, data: Buffer.from(data, "base64") });
  }
}

/** A checkpoint as a program sees it that reads its fields. */
function viewOf({
  checkpointId,
  step,
  concurrencyLimit,
  createdAt,
  versionsSeen,
  frontier,
  header,
  state,
}: Checkpoint): Ok {
  const items = state?.messages?.items ?? [];
  const last = items.at(-1);
  const spoken = last && { last: { role: last.role, content: last.content } };
  return {
    checkpoint_id: checkpointId,
    step: String(step),
    concurrency_limit: String(concurrencyLimit),
    created_at: createdAt && nanoseconds(createdAt),
    messages: state?.messages && { version: state.messages.version, count: items.length, ...spoken },
    extra: state?.extra && { version: state.extra.version, entries: { ...state.extra.entries } },
    versions_seen: mapped(versionsSeen, ({ versions }) => mapped(versions, String)),
    frontier: frontier.map(nodeName),
    custom: Object.keys(state?.custom ?? {}).sort(),
    has_header: header !== undefined,
  };
}

function nodeName({ custom, endpoint }: NodeKind): string {
  return custom === undefined ? (endpoint ?? "") : `custom:${custom}`;
}

function mapped<T, R>(map: Record<string, T>, change: (value: T) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
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

function loadOptions({ namespace, view }: Args) {
  return { namespace: namespace ?? "", ...viewOption(view) };
}

function viewOption(view: Args) {
  return { view: view === "HEADER" ? ("header" as const) : ("full" as const) };
}

function timeoutOf({ timeout_ms }: Args) {
  return { timeoutMs: timeout_ms ?? undefined };
}

function lease({ token, holder, ttlMs }: HeldLease): Ok {
  return { token: String(token), holder, ttl_ms: ttlMs };
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

function summaryMessage({ error: _, ...summary }: SessionSummary) {
  return summary;
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

function nanoseconds(when: Date): string {
  const beyond = when instanceof Timestamp ? when.nanoseconds : 0;
  return String(BigInt(when.getTime()) * 1_000_000n + BigInt(beyond));
}

function fromNanoseconds(when: bigint): Timestamp {
  const beyond = ((when % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return new Timestamp(Number((when - beyond) / 1_000_000n), Number(beyond));
}

function optionalBigInt(text: string | undefined | null): bigint | undefined {
  return present(text) ? BigInt(text) : undefined;
}

function present<T>(value: T | undefined | null): value is T {
  return value !== undefined && value !== null;
}

function known<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error("it is not there");
  }
  return value;
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
