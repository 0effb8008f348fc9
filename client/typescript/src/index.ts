/**
 * Lockstitch: durable checkpoints for agent workflows. Save a checkpoint at every barrier; when the runner dies, load
 * the latest one in another and go on.
 */

export type {
  Ancestor,
  ChannelSize,
  Copied,
  DamagedCheckpoint,
  Deleted,
  Latest,
  LeaseInfo,
  ListedCheckpoint,
  Loaded,
  Retention,
  Saved,
  SavedWrites,
  SaveOutcome,
  Session,
  SessionEvent,
  SessionSummary,
} from "./answers.js";
export type { Appender, AppenderOptions, BlobValues, Fold } from "./appending.js";
export type { CallOptions } from "./budget.js";
export type {
  BlobList,
  ChannelVersions,
  Checkpoint,
  CheckpointInit,
  CustomChanges,
  CustomChannel,
  CustomDelta,
  ErrorEvent,
  ErrorScope,
  ErrorsChannel,
  ExtrasChannel,
  Init,
  Message,
  MessagesChannel,
  NodeKind,
  PendingWrite,
  PendingWriteInit,
  SessionState,
  StepReport,
  TypedBlob,
  VersionedState,
  WeaveError,
} from "./checkpoint.js";
export {
  Client,
  type ClientOptions,
  LatestOf,
  type ListCheckpointsOptions,
  type ListSessionsOptions,
  type LoadOptions,
  type View,
  type WalkOptions,
  type Which,
} from "./client.js";
export type { ExpectedLatest, SaveOptions } from "./conditions.js";
export type { ConnectionOptions, TlsOptions } from "./connection.js";
export {
  Aborted,
  AlreadyExists,
  BaseChanged,
  Cancelled,
  type Code,
  DataLoss,
  DeadlineExceeded,
  DeltaMismatch,
  DeltaRefused,
  Draining,
  type ErrorDetails,
  ExpectedLatestMismatch,
  FailedPrecondition,
  Internal,
  InvalidArgument,
  InvalidPageToken,
  LeaseHeld,
  LeaseLost,
  LockstitchError,
  NoConnection,
  NotFound,
  NotJson,
  OutOfRange,
  Overloaded,
  PermissionDenied,
  RateLimited,
  type Reason,
  ResourceExhausted,
  ResumeTooOld,
  RightMissing,
  SchemaBehind,
  SessionDeleted,
  SessionNotFound,
  StoreUnavailable,
  Superseded,
  TenantForbidden,
  TooLarge,
  Unauthenticated,
  Unavailable,
  Unimplemented,
  UnknownBase,
} from "./errors.js";
export { type HeldLease, Lease } from "./lease.js";
export type { InFlightPolicy } from "./limiter.js";
export type { DeltaPolicy } from "./memory.js";
export { type Page, Pager } from "./paging.js";
export { type Codec, JSON_CODEC } from "./plain/codec.js";
export type { Path } from "./plain/json.js";
export type {
  ItemOf,
  PlainState,
  Thread,
  ThreadLease,
  ThreadLeaseOptions,
  ThreadOptions,
  ThreadSaveOptions,
  Version,
} from "./plain/thread.js";
export type { RetryPolicy } from "./retry.js";
export { Runner } from "./runner.js";
export { checkpointFromSession, checkpointFromStepReport, restoreSessionState } from "./session.js";
export type {
  AcquireOptions,
  BreakLeaseOptions,
  CheckpointRef,
  CopySessionOptions,
  DeleteSessionsOptions,
  LeaseOptions,
  Pruned,
  PruneOptions,
  UpdateSessionOptions,
} from "./sessions.js";
export { Timestamp } from "./timestamp.js";
export { END, jsonText, jsonValue, NONE, node, START } from "./values.js";
export type { WatchOptions } from "./watch.js";
