/** LangGraph's checkpoint saver over a client. */

import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  type DeltaChannelHistory,
  type Checkpoint as GraphCheckpoint,
  type PendingWrite as GraphWrite,
  maxChannelVersion,
  type SerializerProtocol,
  TASKS,
} from "@langchain/langgraph-checkpoint";
import type { Checkpoint, CustomChannel, PendingWrite } from "../checkpoint.js";
import type { Client } from "../client.js";
import { NotFound } from "../errors.js";
import { Blobs, hasValue } from "./channels.js";
import {
  channelsOf,
  type Dependencies,
  dependenciesOf,
  fromMessage,
  fromWrite,
  toMessage,
  toWrites,
  versionsOf,
} from "./codec.js";
import { type LeasePolicy, Leases } from "./leases.js";
import { COUNTERS, type Metadata } from "./metadata.js";
import { configOf, type Place, placeOf, requiredPlace, storedNamespace } from "./place.js";
import { Query } from "./query.js";
import { Recent } from "./recent.js";
import type { Run } from "./runs.js";
import { JsonSerializer } from "./serializer.js";

/** Since this version of LangGraph's checkpoints, sends are a channel; before, they were writes of the parent. */
const SENDS_ARE_A_CHANNEL = 4;
/** The source, in the metadata, of a checkpoint that need not continue from the latest one. */
const FORK = "fork";

export interface LockstitchSaverOptions {
  /** How values are encoded. Default: `JsonSerializer`, as Python's saver does with `serde="json"`. */
  serde?: SerializerProtocol | undefined;
  /**
   * Whether a thread has one writer at a time, and for how long: others get LeaseHeld, and a run that another one has
   * overtaken gets ExpectedLatestMismatch. Default false: writers do not notice each other, as with LangGraph's own savers.
   */
  lease?: LeasePolicy | boolean | undefined;
  /** A thread ends this long after its last checkpoint, 1000 or more. Default: the thread's setting stays as it is. */
  ttlMs?: number | undefined;
  /** For how long a deleted thread cannot be created again. Default 0: it can at once. */
  tombstoneMs?: number | undefined;
}

/** What a put has to go by. */
interface Put {
  parent: Place;
  checkpoint: GraphCheckpoint;
  metadata: Metadata;
  newVersions: ChannelVersions;
}

/**
 * Keeps the checkpoints of LangGraph's threads on a Lockstitch server. One saver serves any number of graphs and threads. The
 * client stays the caller's to close; with leases, close the saver before it.
 *
 * Methods throw the LockstitchErrors that the client throws.
 *
 *     const graph = builder.compile({ checkpointer: new LockstitchSaver(client) });
 */
export class LockstitchSaver extends BaseCheckpointSaver implements AsyncDisposable {
  readonly #client: Client;
  readonly #options: LockstitchSaverOptions;
  readonly #blobs: Blobs;
  readonly #recent = new Recent();
  readonly #leases: Leases | undefined;

  /** Throws RangeError for a lease policy out of range. */
  constructor(client: Client, options: LockstitchSaverOptions = {}) {
    const serde = options.serde ?? new JsonSerializer();
    super(serde);
    this.#client = client;
    this.#options = options;
    this.#blobs = new Blobs(serde);
    const policy = options.lease === true ? {} : options.lease || undefined;
    this.#leases = policy && new Leases(client, policy);
  }

  /** The checkpoint that a config names, the latest where it names none; undefined: there is no such checkpoint. */
  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const place = placeOf(config);
    const found = place && (await this.#fetch(place));
    if (!place || !found?.checkpoint) {
      return undefined;
    }
    this.#recent.put(found.checkpoint);
    const tuple = await this.#tuple(found.checkpoint, found.pendingWrites);
    return this.#begun(config, tuple, place.checkpointId !== "");
  }

  /** Checkpoints, newest first, fetched as they are needed. A config without a thread_id means those of all threads. */
  async *list(
    config: RunnableConfig,
    options: CheckpointListOptions = {},
  ): AsyncGenerator<CheckpointTuple, void, undefined> {
    const query = new Query(config, options);
    let left = options.limit ?? Infinity;
    if (left <= 0) {
      return;
    }
    for await (const { checkpoint, pendingWrites } of query.found(this.#client, options.limit)) {
      const tuple = await this.#tuple(checkpoint, pendingWrites);
      if (query.matches(tuple.metadata as Metadata)) {
        yield this.#begun(config, tuple, true);
        left -= 1;
      }
      if (left <= 0) {
        return;
      }
    }
  }

  /** Store a checkpoint, whose parent is the one that the config names; when this returns, it is durable. */
  async put(
    config: RunnableConfig,
    checkpoint: GraphCheckpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const parent = requiredPlace(config);
    const put = { parent, checkpoint, metadata: metadata as unknown as Metadata, newVersions };
    const known = await this.#parentOf(put);
    const dependsOn = await this.#dependencies(put, known);
    const channels = await this.#channels(put, known);
    const message = await toMessage(this.#blobs, parent, checkpoint, put.metadata, channels, dependsOn);
    const run = this.#leases?.runOf(config, parent);
    await this.#save(message, run, put.metadata.source === FORK);
    this.#recent.put(message);
    const stored = configOf(parent.threadId, parent.namespace ?? "", checkpoint.id);
    return run ? run.carriedBy(stored) : stored;
  }

  /** Store what a task has written, with the checkpoint from which its step has started. */
  async putWrites(config: RunnableConfig, writes: GraphWrite[], taskId: string, taskPath = ""): Promise<void> {
    const place = requiredPlace(config);
    const { threadId, namespace = "", checkpointId } = place;
    if (!checkpointId) {
      throw new TypeError("the config names no checkpoint: give configurable.checkpoint_id");
    }
    if (writes.length === 0) {
      return;
    }
    const run = this.#leases?.runOf(config, place);
    const pending = await toWrites(this.#blobs, writes, taskId, taskPath);
    if (this.#leases) {
      await this.#leases.saveWrites(place, run, pending);
    } else {
      await this.#client.saveWrites(threadId, checkpointId, pending, { namespace: storedNamespace(namespace) });
    }
  }

  /** Delete a thread with all it has. */
  async deleteThread(threadId: string): Promise<void> {
    await this.#client.deleteSessions([String(threadId)], { tombstoneMs: this.#options.tombstoneMs ?? 0 });
    this.#leases?.deleted(String(threadId));
  }

  /** Give the lease of a thread back, so that others may write to it at once. */
  async releaseThread(threadId: string): Promise<void> {
    await this.#leases?.release(String(threadId));
  }

  /** Give all leases back. May be repeated. */
  async close(): Promise<void> {
    await this.#leases?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What DeltaChannels are put together from: the nearest ancestor's value, and the writes since. */
  override async getDeltaChannelHistory(options: {
    config: RunnableConfig;
    channels: string[];
  }): Promise<Record<string, DeltaChannelHistory>> {
    const { config, channels } = options;
    const place = placeOf(config);
    const writes = new Map<string, CheckpointPendingWrite[]>(channels.map((name) => [name, []]));
    const seeds = new Map<string, unknown>();
    for await (const ancestor of this.#ancestors(place, channels)) {
      for (const write of ancestor.pendingWrites.toReversed()) {
        if (!seeds.has(write.channel)) {
          writes.get(write.channel)?.push(await fromWrite(this.#blobs, write));
        }
      }
      const values = channelsOf(ancestor.checkpoint);
      for (const name of channels.filter((one) => !seeds.has(one) && hasValue(values[one]))) {
        seeds.set(name, await this.#blobs.fromChannel(values[name] as CustomChannel));
      }
      if (seeds.size === writes.size) {
        break;
      }
    }
    const history = (name: string): DeltaChannelHistory => {
      const found = { writes: (writes.get(name) ?? []).toReversed() };
      return seeds.has(name) ? { ...found, seed: seeds.get(name) } : found;
    };
    return Object.fromEntries(channels.map((name) => [name, history(name)]));
  }

  /** The version after another: numbers, unless the thread has come from a saver that has its own kind. */
  override getNextVersion(current: number | undefined): number {
    const version: unknown = current ?? 0;
    if (typeof version !== "string") {
      return Number(version) + 1;
    }
    // LangGraph's SQL savers for Python have these. Its types name numbers only, and its code takes both.
    const number = Number.parseInt(version.split(".")[0] ?? "", 10) + 1;
    const next: unknown = `${String(number).padStart(32, "0")}.${Math.random().toFixed(14)}`;
    return next as number;
  }

  /** A tuple from which a run may begin. */
  #begun(asked: RunnableConfig, tuple: CheckpointTuple, isNamed: boolean): CheckpointTuple {
    const place = this.#leases && placeOf(tuple.config);
    if (!this.#leases || !place) {
      return tuple;
    }
    return { ...tuple, config: this.#leases.begin(asked, place, isNamed).carriedBy(tuple.config) };
  }

  async #save(message: Checkpoint, run: Run | undefined, isFork: boolean): Promise<void> {
    const { ttlMs } = this.#options;
    if (this.#leases) {
      await this.#leases.save(message, run, isFork, ttlMs);
    } else {
      await this.#client.save(message, { ttlMs });
    }
  }

  async *#ancestors(place: Place | undefined, channels: string[]) {
    if (!place || channels.length === 0) {
      return;
    }
    try {
      yield* this.#client.walkAncestors(place.threadId, {
        checkpointId: place.checkpointId,
        namespace: storedNamespace(place.namespace ?? ""),
        channels: channels.map((name) => `custom/${name}`),
        includeWrites: true,
        writeChannels: channels,
      });
    } catch (error) {
      if (!(error instanceof NotFound)) {
        throw error; // no such checkpoint has no history
      }
    }
  }

  async #tuple(message: Checkpoint, writes: PendingWrite[]): Promise<CheckpointTuple> {
    const tuple = await fromMessage(this.#blobs, message, writes);
    if (tuple.checkpoint.v < SENDS_ARE_A_CHANNEL && message.parentId) {
      await this.#addSends(tuple.checkpoint, message);
    }
    return tuple;
  }

  /** Give an old checkpoint the sends that its parent's writes hold. */
  async #addSends(checkpoint: GraphCheckpoint, { sessionId, namespace, parentId }: Checkpoint): Promise<void> {
    const place = { threadId: sessionId, namespace, checkpointId: parentId };
    const parent = await this.#fetch(place, "header");
    const sends = (parent?.pendingWrites ?? []).filter(({ channel }) => channel === TASKS);
    const values = await Promise.all(sends.map((write) => fromWrite(this.#blobs, write)));
    checkpoint.channel_values[TASKS] = values.map(([, , value]) => value);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }

  async #fetch({ threadId, namespace = "", checkpointId }: Place, view: "full" | "header" = "full") {
    const options = { namespace: storedNamespace(namespace), view };
    if (!checkpointId) {
      return this.#client.loadLatest(threadId, options);
    }
    try {
      return await this.#client.load(threadId, { checkpointId }, options);
    } catch (error) {
      if (error instanceof NotFound) {
        return undefined;
      }
      throw error;
    }
  }

  /** The parent of a checkpoint to store, where it is in memory, or where the checkpoint cannot be stored without it. */
  async #parentOf(put: Put): Promise<Checkpoint | undefined> {
    const { threadId, namespace = "", checkpointId } = put.parent;
    const known = this.#recent.get(threadId, storedNamespace(namespace), checkpointId);
    if (known || !checkpointId || (silentChannels(put).length === 0 && missingChannels(put).length === 0)) {
      return known;
    }
    return (await this.#fetch(put.parent))?.checkpoint;
  }

  async #channels(put: Put, known: Checkpoint | undefined): Promise<Record<string, CustomChannel>> {
    const { checkpoint, newVersions } = put;
    const former = known ? channelsOf(known) : {};
    const versions = versionsOf(former);
    const isKept = (name: string) =>
      !Object.hasOwn(newVersions, name) && versions[name] === String(checkpoint.channel_versions[name]);
    const values = Object.entries(checkpoint.channel_values).filter(([name]) => !isStray(put, name));
    const entries = values.map(async ([name, value]): Promise<[string, CustomChannel]> => {
      const before = Object.hasOwn(former, name) ? former[name] : undefined;
      const version = checkpoint.channel_versions[name];
      return [name, before && isKept(name) ? before : await this.#blobs.toChannel(value, version, before)];
    });
    const carried = silentChannels(put)
      .filter(isKept)
      .map((name) => [name, former[name] as CustomChannel] as const);
    return Object.fromEntries([...(await Promise.all(entries)), ...carried]);
  }

  /** What DeltaChannels without a value are restored from. */
  async #dependencies(put: Put, known: Checkpoint | undefined): Promise<Dependencies> {
    const names = missingChannels(put);
    const { checkpointId } = put.parent;
    if (names.length === 0 || !checkpointId) {
      return {};
    }
    const before = await dependenciesOf(this.#blobs, known?.header);
    return Object.fromEntries(names.map((name) => [name, before[name] ?? checkpointId]));
  }
}

/** The DeltaChannels that have been updated since the checkpoint that has their value. */
function missingChannels({ checkpoint, metadata }: Put): string[] {
  return Object.keys(metadata[COUNTERS] ?? {}).filter((name) => !Object.hasOwn(checkpoint.channel_values, name));
}

/** Channels that have kept their version, and whose value the caller has left out: the parent has it. */
function silentChannels({ checkpoint, metadata, newVersions }: Put): string[] {
  const told = new Set([checkpoint.channel_values, newVersions, metadata[COUNTERS] ?? {}].flatMap(Object.keys));
  return Object.keys(checkpoint.channel_versions).filter((name) => !told.has(name));
}

/**
 * A value of the first checkpoint of a thread that LangGraph's interface says is not to be stored: its version is not new. A
 * fork is a copy of a checkpoint, none of whose versions is new.
 */
function isStray({ parent, checkpoint, metadata, newVersions }: Put, name: string): boolean {
  const isFirst = !parent.checkpointId && metadata.source !== "fork";
  return isFirst && Object.hasOwn(checkpoint.channel_versions, name) && !Object.hasOwn(newVersions, name);
}
