/**
 * A checkpoint and what it holds, as plain objects. `lockstitch/v1` has the messages of the contract that they stand for.
 *
 * "JSON text" is text that holds one JSON value. It is stored and returned byte for byte: see `jsonText` and `jsonValue`.
 */

/** What may be given where a `T` is stored: fields can be left out, and numbers may stand for bigints. */
export type Init<T> = T extends Date | Uint8Array | string | number | boolean
  ? T
  : T extends bigint
    ? bigint | number
    : T extends readonly (infer Item)[]
      ? readonly Init<Item>[]
      : { readonly [Key in keyof T]?: Init<T[Key]> | undefined };

/** A node of a graph: one of its ends, or a node of the user's. See `START`, `END` and `node`. */
export interface NodeKind {
  endpoint?: "START" | "END" | undefined;
  /** The name of the user's node. 0 to 512 bytes. */
  custom?: string | undefined;
}

/** An encoded value. */
export interface TypedBlob {
  /** The encoding of `data`, a name chosen by the writer, such as "msgpack" or "json". 0 to 255 bytes. */
  type: string;
  data: Uint8Array;
}

/** A message of a conversation. */
export interface Message {
  /** "user", "assistant", "system", "tool", or any other text. */
  role: string;
  content: string;
}

/** The conversation. */
export interface MessagesChannel {
  /** Increases whenever a barrier changes the channel. 0 to 2^32-1. */
  version: number;
  /** Oldest first. */
  items: Message[];
}

/** Named JSON values. */
export interface ExtrasChannel {
  /** Increases whenever a barrier changes the channel. 0 to 2^32-1. */
  version: number;
  /** Key to JSON text. Keys are 0 to 512 bytes. */
  entries: Record<string, string>;
}

/** Errors of a session. */
export interface ErrorsChannel {
  /** Increases whenever a barrier changes the channel. 0 to 2^32-1. */
  version: number;
  /** Oldest first. */
  items: ErrorEvent[];
}

/** An error and where it came from. */
export interface ErrorEvent {
  /** Exact to the nanosecond: a `Timestamp` where it was loaded. */
  when?: Date | undefined;
  scope?: ErrorScope | undefined;
  error?: WeaveError | undefined;
  /** Labels for searching. */
  tags: string[];
  /** JSON text; "": none. */
  context: string;
}

/** Where an error came from: one of these, or none if that is unknown. */
export interface ErrorScope {
  /** `kind`: "Start", "End", "Custom:<name>" or any other text. */
  node?: { kind: string; step: bigint } | undefined;
  scheduler?: { step: bigint } | undefined;
  runner?: { session: string; step: bigint } | undefined;
  app?: Record<never, never> | undefined;
}

/** An error with its causes. */
export interface WeaveError {
  message: string;
  cause?: WeaveError | undefined;
  /** JSON text; "": none. */
  details: string;
}

/** Values of a list. Appending to it costs what is appended. */
export interface BlobList {
  items: TypedBlob[];
}

/** A channel of a framework: one value, or a list, or a version without a value. */
export interface CustomChannel {
  /** In the format of the framework. 0 to 255 bytes. */
  version: string;
  /** One value, stored as a whole whenever it changes. */
  blob?: TypedBlob | undefined;
  /** A list. When it grows, only the new items are stored. */
  list?: BlobList | undefined;
}

/** The channels of a session. A channel that is absent is one that the runner does not have. */
export interface VersionedState {
  messages?: MessagesChannel | undefined;
  extra?: ExtrasChannel | undefined;
  errors?: ErrorsChannel | undefined;
  /** Other channels, by name. Names are 0 to 512 bytes. */
  custom: Record<string, CustomChannel>;
}

/** The channel versions that a node has seen. */
export interface ChannelVersions {
  versions: Record<string, bigint>;
}

/** The state of a session at a barrier, and what a runner needs to continue from there. */
export interface Checkpoint {
  /** 1 to 255 bytes. */
  sessionId: string;
  /** Path of a subgraph inside the session; "" is the root. 0 to 512 bytes. */
  namespace: string;
  /** Unique in (session, namespace). The latest checkpoint is the one with the greatest id. "" in a save: the step as 20 digits. */
  checkpointId: string;
  /** The id of the checkpoint that this one continues; "" for none. */
  parentId: string;
  /** The number of the barrier. 0 to 2^63-1. */
  step: bigint;
  /** Absent if it was not asked for. */
  state?: VersionedState | undefined;
  /** The nodes to run next. */
  frontier: NodeKind[];
  /** By node. */
  versionsSeen: Record<string, ChannelVersions>;
  /** How many nodes run at once, at most. */
  concurrencyLimit: bigint;
  /** When the client took the checkpoint: a `Timestamp` where it was loaded. Absent in a save: the server's time. */
  createdAt?: Date | undefined;
  /** The nodes that ran in this step. */
  ranNodes: NodeKind[];
  /** The nodes that were skipped in this step. */
  skippedNodes: NodeKind[];
  /** The channels that this step changed. */
  updatedChannels: string[];
  /** Key to JSON text, for lists to filter by. */
  metadata: Record<string, string>;
  /** Data of the framework. */
  header?: TypedBlob | undefined;
  /** The farthest ancestor that a reader needs to restore this checkpoint; "" for none. */
  dependsOn: string;
}

/** A checkpoint to save, with some or all of its fields. */
export type CheckpointInit = Init<Checkpoint>;

/** What a task has written before the barrier of its step. */
export interface PendingWrite {
  taskId: string;
  /** Where the task stands in the graph; "" if that does not matter. */
  taskPath: string;
  /** Of 0 and above, the first write of an index stays. Below 0, a later write replaces it. */
  index: number;
  channel: string;
  value?: TypedBlob | undefined;
}

/** A pending write to save, with some or all of its fields. */
export type PendingWriteInit = Init<PendingWrite>;

/** A session as a runner holds it in memory. */
export interface SessionState {
  state?: VersionedState | undefined;
  step: bigint;
  frontier: NodeKind[];
  scheduler?: { concurrencyLimit: bigint } | undefined;
  schedulerState?: { versionsSeen: Record<string, ChannelVersions> } | undefined;
}

/** What a scheduler reports of a step. */
export interface StepReport {
  step: bigint;
  ranNodes: NodeKind[];
  skippedNodes: NodeKind[];
  updatedChannels: string[];
  nextFrontier: NodeKind[];
  completed: boolean;
}

/** What changes in a custom channel: a new value, a new list, or more items of its list. */
export interface CustomDelta {
  version: string;
  blob?: TypedBlob | undefined;
  list?: BlobList | undefined;
  append?: BlobList | undefined;
}

/** What changes in the custom channels of a state. */
export interface CustomChanges {
  custom?: Record<string, CustomDelta> | undefined;
  /** The channels that are removed. */
  removedCustom?: string[] | undefined;
}
