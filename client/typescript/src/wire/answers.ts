/** Responses as what callers get. */

import type {
  Ancestor,
  Latest,
  LeaseInfo,
  ListedCheckpoint,
  Loaded,
  Saved,
  SaveOutcome,
  Session,
  SessionEvent,
  SessionSummary,
} from "../answers.js";
import { fromStatus, Internal } from "../errors.js";
import type { Page } from "../paging.js";
import { Timestamp } from "../timestamp.js";
import type {
  AncestorMessage,
  GetSessionResponse,
  LeaseMessage,
  ListCheckpointsResponse,
  LoadResponse,
  SaveResponse,
  SummaryMessage,
  WatchSessionResponse,
} from "./methods.js";

export function savedOf({ checkpointId, revision, outcome, savedAt }: SaveResponse): Saved {
  return { checkpointId, revision, outcome: outcome as SaveOutcome, savedAt: time(savedAt) };
}

export function latestOf({ traceId, ...response }: LoadResponse): Latest {
  return { ...response, ...(traceId && { traceId }) };
}

/** Throws Internal for a response without a checkpoint. */
export function loadedOf(response: LoadResponse): Loaded {
  return { ...latestOf(response), checkpoint: present(response.checkpoint) };
}

/** As `loadedOf`. */
export function ancestorOf({ checkpoint, pendingWrites, revision }: AncestorMessage): Ancestor {
  return { checkpoint: present(checkpoint), pendingWrites, revision };
}

export function listedOf(response: ListCheckpointsResponse): Page<ListedCheckpoint> {
  const items = response.checkpoints.map((checkpoint, index) => {
    const { savedAt, traceId, revision, stateBytes, pendingWrites, channels } = present(response.details[index]);
    return {
      checkpoint,
      revision,
      savedAt: time(savedAt),
      stateBytes,
      ...(traceId && { traceId }),
      pendingWrites,
      channels,
    };
  });
  const { nextPageToken, totalSize, damaged } = response;
  const named = damaged.map(({ error, ...checkpoint }) => ({ ...checkpoint, error: fromStatus(present(error)) }));
  return { items, nextPageToken, totalSize, ...(named.length > 0 && { damaged: named }) };
}

export function summaryOf(message: SummaryMessage): SessionSummary {
  const { createdAt, updatedAt, leaseHolder, error, ...rest } = message;
  return {
    ...rest,
    createdAt: time(createdAt),
    updatedAt: time(updatedAt),
    ...(leaseHolder && { leaseHolder }),
    ...(error && { error: fromStatus(error) }),
  };
}

/** Throws Internal for a response without a session. */
export function sessionOf(response: GetSessionResponse | undefined): Session {
  const { session, ttl, retention, lease } = present(response);
  return {
    ...summaryOf(present(session)),
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(retention && { retention: retentionOf(retention) }),
    ...(lease && { lease: leaseOf(lease) }),
  };
}

export function eventOf(response: WatchSessionResponse): SessionEvent {
  const { resumeToken, revision, saved, leaseChanged } = response;
  const common = { resumeToken, revision };
  if (saved) {
    return { ...common, type: "saved", ...saved, savedAt: time(saved.savedAt) };
  }
  if (leaseChanged) {
    return { ...common, type: "leaseChanged", ...(leaseChanged.lease && { lease: leaseOf(leaseChanged.lease) }) };
  }
  const plain = (["checkpointsDeleted", "sessionDeleted", "heartbeat"] as const).find((type) => response[type]);
  return { ...common, type: plain ?? "unknown" };
}

function retentionOf({ keepLast, maxAge }: { keepLast: number; maxAge?: number }) {
  return { ...(keepLast > 0 && { keepLast }), ...(maxAge !== undefined && { maxAgeMs: maxAge }) };
}

export function leaseOf({ holder, acquiredAt, expireAt }: LeaseMessage): LeaseInfo {
  return { holder, acquiredAt: time(acquiredAt), expireAt: time(expireAt) };
}

/** Servers always give it. */
function time(when: Date | undefined): Date {
  return when ?? new Timestamp(0);
}

function present<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Internal("the server's response lacks what it is about", { code: "INTERNAL" });
  }
  return value;
}
