/** What calls give. Integers of 64 bits are bigints. */

import type { Checkpoint, PendingWrite } from "./checkpoint.js";
import type { LockstitchError } from "./errors.js";

/** What a save did: `UNCHANGED`, the checkpoint was stored already, with the same content. */
export type SaveOutcome = "CREATED" | "REPLACED" | "UNCHANGED";

/** A save that is durable. */
export interface Saved {
  checkpointId: string;
  /** The revision of the session in which this content was written. */
  revision: bigint;
  outcome: SaveOutcome;
  /** The database's time of the save that wrote this content. */
  savedAt: Date;
}

/** Pending writes that are durable. */
export interface SavedWrites {
  /** Of the session, after this call. */
  revision: bigint;
  /** How many were stored or replaced. The others were there already. */
  stored: number;
}

/** The latest checkpoint, if there is one. */
export interface Latest {
  checkpoint?: Checkpoint | undefined;
  /** Ordered by task path, task and index. */
  pendingWrites: PendingWrite[];
  /** Of the session; 0 if it does not exist. */
  revision: bigint;
  /** The revision in which the checkpoint was written: `expectedRevision` of a save. */
  checkpointRevision: bigint;
  /** Of the call that wrote the checkpoint: 32 hexadecimal digits. */
  traceId?: string | undefined;
}

/** A checkpoint with what belongs to it. */
export interface Loaded extends Latest {
  checkpoint: Checkpoint;
}

/** An ancestor of a checkpoint. */
export interface Ancestor {
  checkpoint: Checkpoint;
  /** Empty unless asked for. */
  pendingWrites: PendingWrite[];
  /** The revision in which the checkpoint was written. */
  revision: bigint;
}

/** A checkpoint as a list shows it. */
export interface ListedCheckpoint {
  checkpoint: Checkpoint;
  /** The revision in which it was written. */
  revision: bigint;
  /** The database's time of the save. */
  savedAt: Date;
  /** Size of the state. */
  stateBytes: bigint;
  /** Of the call that wrote it: 32 hexadecimal digits. */
  traceId?: string | undefined;
  /** Empty unless asked for. */
  pendingWrites: PendingWrite[];
  /** The sizes of its channels. Empty unless asked for. */
  channels: ChannelSize[];
}

/** The size of one channel of a state. */
export interface ChannelSize {
  /** "messages", "errors", "extra/<key>" or "custom/<name>". */
  channel: string;
  /** Size of its content, before compression. */
  bytes: bigint;
  /** Equal fingerprints of two checkpoints of a session mean equal content. */
  fingerprint: Uint8Array;
}

/** A checkpoint that is damaged in the store. */
export interface DamagedCheckpoint {
  sessionId: string;
  namespace: string;
  checkpointId: string;
  /** What loading it throws: DataLoss. */
  error: LockstitchError;
}

/** A session as a list shows it. */
export interface SessionSummary {
  sessionId: string;
  /** Of the root namespace; "" if it has no checkpoint. */
  latestCheckpointId: string;
  latestStep: bigint;
  /** In all namespaces. */
  checkpointCount: bigint;
  storedBytes: bigint;
  createdAt: Date;
  /** When it last changed. */
  updatedAt: Date;
  /** Absent: it does not expire. */
  expireAt?: Date | undefined;
  labels: Record<string, string>;
  /** Who holds its lease. */
  leaseHolder?: string | undefined;
  revision: bigint;
  /** Why the latest checkpoint cannot be read. */
  error?: LockstitchError | undefined;
}

/** Which checkpoints of a session stay. The latest of every namespace always does. */
export interface Retention {
  /** This many of the greatest ids of every namespace stay. */
  keepLast?: number | undefined;
  /** What was saved longer ago than this goes, 1000 or more. */
  maxAgeMs?: number | undefined;
}

/** A lease as others see it. */
export interface LeaseInfo {
  holder: string;
  acquiredAt: Date;
  expireAt: Date;
}

/** A session with its settings. */
export interface Session extends SessionSummary {
  /** It expires this long after its last save. Absent: it stays. */
  ttlMs?: number | undefined;
  /** In place of the server's. */
  retention?: Retention | undefined;
  /** Absent: nobody holds it. */
  lease?: LeaseInfo | undefined;
}

/** Checkpoints that are gone. */
export interface Deleted {
  /** How many. */
  deleted: bigint;
  /** Of the session, after the call; 0 where it was about several sessions. */
  revision: bigint;
}

/** A copy of a session. */
export interface Copied {
  /** Of the new session. */
  revision: bigint;
  checkpointCount: bigint;
}

/** What happened in a session that is watched. */
export type SessionEvent = {
  /** Watch again with this to continue after the event. */
  resumeToken: string;
  /** Of the session, after the event. */
  revision: bigint;
} & (
  | {
      type: "saved";
      namespace: string;
      checkpointId: string;
      parentId: string;
      step: bigint;
      savedAt: Date;
    }
  | { type: "checkpointsDeleted" }
  | { type: "sessionDeleted" }
  /** `lease`: absent if nobody holds it any more. */
  | { type: "leaseChanged"; lease?: LeaseInfo | undefined }
  /** Nothing happened for a while. It is also the first event. */
  | { type: "heartbeat" }
  /** An event of a newer server. */
  | { type: "unknown" }
);
