/** What the executor's `edit` and `view` do with a checkpoint, and how values are written. */

import {
  type Checkpoint,
  type CustomChannel,
  type NodeKind,
  node,
  Timestamp,
  type VersionedState,
} from "../src/index.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments are what the harness sends
export type Args = any;
export type Ok = Record<string, unknown>;

/** What `edit` says, in this language's own types. */
export function change(checkpoint: Checkpoint, edit: Args): void {
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
export function viewOf({
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

export function nanoseconds(when: Date): string {
  const beyond = when instanceof Timestamp ? when.nanoseconds : 0;
  return String(BigInt(when.getTime()) * 1_000_000n + BigInt(beyond));
}

export function fromNanoseconds(when: bigint): Timestamp {
  const beyond = ((when % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return new Timestamp(Number((when - beyond) / 1_000_000n), Number(beyond));
}

export function optionalBigInt(text: string | undefined | null): bigint | undefined {
  return present(text) ? BigInt(text) : undefined;
}

export function present<T>(value: T | undefined | null): value is T {
  return value !== undefined && value !== null;
}

export function known<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error("it is not there");
  }
  return value;
}
