/** The methods of the contract, with the codecs of their requests and responses. */

import type { DescMethod } from "@bufbuild/protobuf";
import type { Checkpoint, PendingWrite } from "../checkpoint.js";
import type { StatusMessage } from "../errors.js";
import { CheckpointService } from "../gen/lockstitch/v1/checkpoint_service_pb.js";
import { SessionService } from "../gen/lockstitch/v1/session_service_pb.js";
import { type Codec, codecOf } from "./codec.js";
import type { InputOf } from "./requests.js";

/** `I`: what a request may hold. `O`: a response. */
export interface Method<I extends object, O extends object> {
  readonly path: string;
  readonly request: Codec<object, I>;
  decode(data: Buffer): O;
}

/** What a request of a method may hold. */
export type RequestFor<M> = M extends Method<infer I, infer _> ? I : never;

type MethodOf<D extends DescMethod, O extends object> = Method<InputOf<D["input"]>, O>;

function method<I extends object, O extends object>(descriptor: DescMethod): Method<I, O> {
  const response = codecOf<O>(descriptor.output);
  return {
    path: `/${descriptor.parent.typeName}/${descriptor.name}`,
    request: codecOf<object, I>(descriptor.input),
    // Not as a Buffer: what is cut from one is a Buffer, too.
    decode: (data) => response.decode(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  };
}

const { method: checkpoints } = CheckpointService;
const { method: sessions } = SessionService;

export interface SaveResponse {
  checkpointId: string;
  revision: bigint;
  outcome: string;
  savedAt?: Date;
}

export interface SaveStreamResponse {
  requestId: bigint;
  saved?: SaveResponse;
  error?: StatusMessage;
  batch: SaveStreamResponse[];
  takesBatches: boolean;
}

export interface LoadResponse {
  checkpoint?: Checkpoint;
  pendingWrites: PendingWrite[];
  revision: bigint;
  checkpointRevision: bigint;
  traceId: string;
}

export interface LoadLatestStreamResponse {
  index: number;
  loaded?: LoadResponse;
  error?: StatusMessage;
}

export interface SummaryMessage {
  sessionId: string;
  latestCheckpointId: string;
  latestStep: bigint;
  checkpointCount: bigint;
  storedBytes: bigint;
  createdAt?: Date;
  updatedAt?: Date;
  expireAt?: Date;
  labels: Record<string, string>;
  leaseHolder: string;
  revision: bigint;
  error?: StatusMessage;
}

export interface ListCheckpointsResponse {
  checkpoints: Checkpoint[];
  nextPageToken: string;
  totalSize?: bigint;
  details: DetailsMessage[];
  damaged: { sessionId: string; namespace: string; checkpointId: string; error?: StatusMessage }[];
}

export interface DetailsMessage {
  revision: bigint;
  savedAt?: Date;
  stateBytes: bigint;
  pendingWrites: PendingWrite[];
  traceId: string;
  channels: { channel: string; bytes: bigint; fingerprint: Uint8Array }[];
}

export interface AncestorMessage {
  checkpoint?: Checkpoint;
  pendingWrites: PendingWrite[];
  revision: bigint;
}

export interface LeaseMessage {
  token: bigint;
  holder: string;
  acquiredAt?: Date;
  expireAt?: Date;
}

export interface GetSessionResponse {
  session?: SummaryMessage;
  ttl?: number;
  retention?: { keepLast: number; maxAge?: number };
  lease?: LeaseMessage;
}

export interface WatchSessionResponse {
  resumeToken: string;
  revision: bigint;
  saved?: { namespace: string; checkpointId: string; parentId: string; step: bigint; savedAt?: Date };
  checkpointsDeleted?: object;
  sessionDeleted?: object;
  leaseChanged?: { lease?: LeaseMessage };
  heartbeat?: object;
}

export interface LeaseResponse {
  lease?: LeaseMessage;
  ttl?: number;
}

export const SAVE: MethodOf<typeof checkpoints.save, SaveResponse> = method(checkpoints.save);
export const SAVE_STREAM: MethodOf<typeof checkpoints.saveStream, SaveStreamResponse> = method(checkpoints.saveStream);
export const SAVE_WRITES: MethodOf<typeof checkpoints.saveWrites, { revision: bigint; stored: number }> = method(
  checkpoints.saveWrites,
);
export const LOAD_LATEST: MethodOf<typeof checkpoints.loadLatest, LoadResponse> = method(checkpoints.loadLatest);
export const LOAD: MethodOf<typeof checkpoints.load, LoadResponse> = method(checkpoints.load);
export const LOAD_LATEST_STREAM: MethodOf<typeof checkpoints.loadLatestStream, LoadLatestStreamResponse> = method(
  checkpoints.loadLatestStream,
);
export const LIST_SESSIONS: MethodOf<
  typeof checkpoints.listSessions,
  { sessions: SummaryMessage[]; nextPageToken: string }
> = method(checkpoints.listSessions);
export const LIST_CHECKPOINTS: MethodOf<typeof checkpoints.listCheckpoints, ListCheckpointsResponse> = method(
  checkpoints.listCheckpoints,
);
export const WALK_ANCESTORS: MethodOf<typeof checkpoints.walkAncestors, AncestorMessage> = method(
  checkpoints.walkAncestors,
);

export const GET_SESSION: MethodOf<typeof sessions.getSession, GetSessionResponse> = method(sessions.getSession);
export const UPDATE_SESSION: MethodOf<typeof sessions.updateSession, { session?: GetSessionResponse }> = method(
  sessions.updateSession,
);
export const DELETE_SESSIONS: MethodOf<typeof sessions.deleteSessions, { deleted: number }> = method(
  sessions.deleteSessions,
);
export const DELETE_CHECKPOINTS: MethodOf<typeof sessions.deleteCheckpoints, { deleted: bigint; revision: bigint }> =
  method(sessions.deleteCheckpoints);
export const COPY_SESSION: MethodOf<typeof sessions.copySession, { revision: bigint; checkpointCount: bigint }> =
  method(sessions.copySession);
export const PRUNE_SESSIONS: MethodOf<
  typeof sessions.pruneSessions,
  { checkpoints: bigint; bytes: bigint; sessions: bigint; nextPageToken: string }
> = method(sessions.pruneSessions);
export const WATCH_SESSION: MethodOf<typeof sessions.watchSession, WatchSessionResponse> = method(
  sessions.watchSession,
);
export const ACQUIRE_LEASE: MethodOf<typeof sessions.acquireLease, LeaseResponse> = method(sessions.acquireLease);
export const RENEW_LEASE: MethodOf<typeof sessions.renewLease, LeaseResponse> = method(sessions.renewLease);
export const RELEASE_LEASE: MethodOf<typeof sessions.releaseLease, { released: boolean }> = method(
  sessions.releaseLease,
);
export const BREAK_LEASE: MethodOf<typeof sessions.breakLease, { broken: boolean }> = method(sessions.breakLease);
