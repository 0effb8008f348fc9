/**
 * LangGraph's checkpoints as the contract's, and back, in the layout of the Python saver (docs/langgraph.md).
 *
 * thread_id, checkpoint_ns, id, parent   sessionId, namespace, checkpointId, parentId
 * channel_values                         state.custom, one channel each
 * metadata                               metadata, where it is a scalar, but for the step
 * step in the metadata                   step (0 for -1, which is the input's)
 * ts                                     createdAt, where that says the same
 * DeltaChannels' oldest ancestor         dependsOn, so that retention keeps it
 * everything else, exactly               header
 */

import {
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  type Checkpoint as GraphCheckpoint,
  type PendingWrite as GraphWrite,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import type { Checkpoint, PendingWrite, TypedBlob } from "../checkpoint.js";
import { Timestamp } from "../timestamp.js";
import { type Blobs, type Channels, hasValue } from "./channels.js";
import { joined, type Metadata, STEP, split, stepOf } from "./metadata.js";
import { configOf, type Place, storedNamespace } from "./place.js";

/** DeltaChannel to the id of the farthest ancestor that its value is restored from. */
export type Dependencies = Record<string, string>;

interface Header {
  checkpoint: Metadata;
  metadata?: Metadata;
  depends_on?: Dependencies;
  checkpoint_ns?: string;
}

const ERROR = "__error__";
const NO_CHANNELS: Channels = Object.freeze({});

/** A checkpoint whose parent is `parent`, with these channels. */
export async function toMessage(
  blobs: Blobs,
  parent: Place,
  checkpoint: GraphCheckpoint,
  metadata: Metadata,
  custom: Channels,
  dependsOn: Dependencies,
): Promise<Checkpoint> {
  const { texts, rest } = split(metadata);
  const { id, ts, channel_values: _, ...others } = checkpoint;
  const createdAt = timestampOf(ts);
  const namespace = storedNamespace(parent.namespace ?? "");
  const header: Header = {
    checkpoint: createdAt && textOf(createdAt) === ts ? others : { ...others, ts },
    ...(Object.keys(rest).length > 0 && { metadata: rest }),
    ...(Object.keys(dependsOn).length > 0 && { depends_on: dependsOn }),
    ...(namespace !== (parent.namespace ?? "") && { checkpoint_ns: parent.namespace ?? "" }),
  };
  return {
    sessionId: parent.threadId,
    namespace,
    checkpointId: id,
    parentId: parent.checkpointId,
    step: stepOf(metadata[STEP]) ?? 0n,
    state: { custom },
    frontier: [],
    versionsSeen: {},
    concurrencyLimit: 0n,
    ...(createdAt && { createdAt }),
    ranNodes: [],
    skippedNodes: [],
    updatedChannels: [],
    metadata: texts,
    header: await blobs.dump(header),
    dependsOn: Object.values(dependsOn).sort()[0] ?? "", // ids grow with time
  };
}

/** A checkpoint with its pending writes. */
export async function fromMessage(blobs: Blobs, message: Checkpoint, writes: PendingWrite[]): Promise<CheckpointTuple> {
  const { sessionId, checkpointId, parentId, createdAt } = message;
  const header = await headerOf(blobs, message.header);
  const { checkpoint: rest } = header;
  const namespace = header.checkpoint_ns ?? message.namespace;
  const versions = (rest.channel_versions ?? {}) as Record<string, unknown>;
  const values = await blobs.fromChannels(channelsOf(message), Object.keys(versions));
  const checkpoint = {
    ...(createdAt && { ts: textOf(createdAt) }),
    ...rest,
    id: checkpointId,
    channel_values: values,
  } as unknown as GraphCheckpoint;
  return {
    config: configOf(sessionId, namespace, checkpointId),
    checkpoint,
    metadata: joined(message.metadata, header.metadata ?? {}) as unknown as CheckpointMetadata,
    pendingWrites: await Promise.all(writes.map((write) => fromWrite(blobs, write))),
    ...(parentId && { parentConfig: configOf(sessionId, namespace, parentId) }),
  };
}

/** The dependencies that a checkpoint's header keeps. */
export async function dependenciesOf(blobs: Blobs, header: TypedBlob | undefined): Promise<Dependencies> {
  return (await headerOf(blobs, header)).depends_on ?? {};
}

/** What a task has written; errors, interrupts and the like have places of their own. */
export function toWrites(
  blobs: Blobs,
  writes: GraphWrite[],
  taskId: string,
  taskPath: string,
): Promise<PendingWrite[]> {
  const pending = writes.map(async ([channel, value], number) => ({
    taskId,
    taskPath,
    channel,
    index: Object.hasOwn(WRITES_IDX_MAP, channel) ? (WRITES_IDX_MAP[channel] as number) : number,
    value: await blobs.dump(value),
  }));
  return Promise.all(pending);
}

/** [task id, channel, value] */
export async function fromWrite(
  blobs: Blobs,
  { taskId, channel, value }: PendingWrite,
): Promise<CheckpointPendingWrite> {
  if (channel === ERROR && value?.type === "msgpack") {
    // Python's exceptions have no JSON. The task runs again in any case; the error is only shown.
    return [taskId, channel, { name: "Error", message: "an exception that Python stored" }];
  }
  return [taskId, channel, value && (await blobs.load(value))];
}

/** The channels of a checkpoint's state. */
export function channelsOf(message: Checkpoint): Channels {
  return message.state?.custom ?? NO_CHANNELS;
}

/** The versions of the channels that have a value. */
export function versionsOf(channels: Channels): Record<string, string> {
  const valued = Object.entries(channels).filter(([, channel]) => hasValue(channel));
  return Object.fromEntries(valued.map(([name, { version }]) => [name, version]));
}

async function headerOf(blobs: Blobs, header: TypedBlob | undefined): Promise<Header> {
  return header?.type ? ((await blobs.load(header)) as Header) : { checkpoint: {} };
}

const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** undefined: it is no time; the server's will do. */
function timestampOf(text: string | undefined): Timestamp | undefined {
  const [, whole, fraction = "", zone] = TIME.exec(text ?? "") ?? [];
  const ms = Date.parse(`${whole}${zone}`);
  if (whole === undefined || Number.isNaN(ms)) {
    return undefined;
  }
  const nanos = Number(fraction.padEnd(9, "0"));
  return new Timestamp(ms + Math.floor(nanos / 1e6), nanos % 1e6);
}

/** As Python's LangGraph writes it. */
function textOf(when: Date): string {
  const [seconds, fraction] = when.toISOString().slice(0, -1).split(".") as [string, string];
  const beyond = when instanceof Timestamp ? Math.floor(when.nanoseconds / 1000) : 0;
  const isWhole = Number(fraction) === 0 && (!(when instanceof Timestamp) || when.nanoseconds === 0);
  return `${seconds}${isWhole ? "" : `.${fraction}${String(beyond).padStart(3, "0")}`}+00:00`;
}
