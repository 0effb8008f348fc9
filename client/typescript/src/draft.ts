/** A save as it goes to the server: serialized at once, sent whole or with a delta in place of the state. */

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { diff, type Snapshot, snapshot, stateBytes } from "./delta.js";
import {
  type Checkpoint,
  CheckpointSchema,
  type PendingWriteSchema,
  type VersionedState,
  VersionedStateSchema,
} from "./gen/lockstitch/v1/checkpoint_pb.js";
import { type ExpectedLatestSchema, SaveRequestSchema } from "./gen/lockstitch/v1/checkpoint_service_pb.js";
import type { Base } from "./memory.js";
import { checked, mayBeIllFormed, serialized } from "./validity.js";
import { duration, type NONE } from "./values.js";

/** What the latest checkpoint must be before a save: an id, a step, or that there is none. */
export type ExpectedLatest = string | bigint | typeof NONE;

/** What goes with a checkpoint. */
export interface SaveConditions {
  /** What the latest checkpoint of (session, namespace) must be before this save. */
  expectedLatest?: ExpectedLatest | undefined;
  /**
   * The revision in which that checkpoint was written, beside its id or step: `SaveResponse.revision`, or `checkpointRevision`
   * of a load. Without it, a checkpoint that was deleted and saved again under the same id is the expected one, too.
   */
  expectedRevision?: bigint | undefined;
  /** Pending writes of this checkpoint, stored with it. */
  writes?: MessageInitShape<typeof PendingWriteSchema>[] | undefined;
  /** The session ends this long after its last save, 1000 or more. Default: the session's setting stays as it is. */
  ttlMs?: number | undefined;
  /** Fencing token of the lease under which the caller writes. */
  leaseToken?: bigint | undefined;
}

/** Field numbers: of SaveRequest, and that of `Checkpoint.state`. */
const CHECKPOINT = 1;
const DELTA = 5;
const STATE = 6;

/** A checkpoint as it was at one moment, with what belongs to its save. */
export class Draft {
  readonly sessionId: string;
  /** Tells sessions and namespaces apart: ids hold no control characters. */
  readonly key: string;
  /** The id under which the server will store it. */
  readonly checkpointId: string;
  /** undefined: there is no state, or none that a delta can carry. */
  readonly snapshot: Snapshot | undefined;
  readonly #head: Uint8Array; // the checkpoint without its state
  readonly #state: Uint8Array | undefined; // where there is no snapshot
  readonly #conditions: Uint8Array;
  #id: Uint8Array = new Uint8Array();

  constructor(given: MessageInitShape<typeof CheckpointSchema>, conditions: SaveConditions) {
    const checkpoint = create(CheckpointSchema, given);
    const { sessionId, namespace, checkpointId, step, state } = checkpoint;
    this.sessionId = sessionId;
    this.key = `${sessionId}\u0000${namespace}`;
    this.checkpointId = checkpointId || step.toString().padStart(20, "0");
    this.#conditions = conditionBytes(conditions);
    const parts = checked(CheckpointSchema, checkpoint, "checkpoint", () => partsOf(checkpoint, state));
    this.snapshot = parts.snapshot;
    this.#state = parts.state;
    this.#head = parts.head;
  }

  /** Bytes that it has, about. */
  get size(): number {
    return this.#head.length + (this.snapshot?.size ?? this.#state?.length ?? 0) + this.#conditions.length;
  }

  /** Give it its save_id, as a SaveRequest with nothing else. */
  identify(id: Uint8Array): void {
    this.#id = id;
  }

  /** The checkpoint. */
  checkpoint(): Uint8Array {
    const state = this.snapshot ? stateBytes(this.snapshot) : this.#state;
    const writer = new BinaryWriter().raw(this.#head);
    if (state) {
      writer.tag(STATE, WireType.LengthDelimited).bytes(state);
    }
    return writer.finish();
  }

  /** The request with the full state. */
  full(): Uint8Array {
    const writer = new BinaryWriter().tag(CHECKPOINT, WireType.LengthDelimited).bytes(this.checkpoint());
    return writer.raw(this.#conditions).raw(this.#id).finish();
  }

  /** The request with a delta; undefined: there is none, or no gain in it. */
  deltaFrom(base: Base): Uint8Array | undefined {
    if (!this.snapshot || base.checkpointId === this.checkpointId) {
      return undefined; // it would replace what it starts from, and could not be repeated
    }
    const delta = diff(base.snapshot, this.snapshot);
    if (!delta || delta.length >= this.snapshot.size) {
      return undefined;
    }
    const start = create(SaveRequestSchema, { baseCheckpointId: base.checkpointId, baseRevision: base.revision });
    const writer = new BinaryWriter().tag(CHECKPOINT, WireType.LengthDelimited).bytes(this.#head);
    writer.raw(this.#conditions).raw(this.#id).raw(toBinary(SaveRequestSchema, start));
    return writer.tag(DELTA, WireType.LengthDelimited).bytes(delta).finish();
  }
}

interface Parts {
  head: Uint8Array;
  snapshot: Snapshot | undefined;
  state: Uint8Array | undefined;
}

/** Serialized, and whether text may have been changed on the way. */
function partsOf(checkpoint: Checkpoint, state: VersionedState | undefined): [Parts, boolean] {
  const known = state && snapshot(state);
  const bytes = state && !known ? toBinary(VersionedStateSchema, state) : undefined;
  const head = withoutState(checkpoint);
  const isSuspect = [head, bytes ?? new Uint8Array()].some(mayBeIllFormed);
  return [{ head, snapshot: known, state: bytes }, isSuspect || (known !== undefined && hasReplacement(known))];
}

function hasReplacement({ messages, extra, errors, custom }: Snapshot): boolean {
  const parts = [messages, extra, errors, ...custom.values()];
  const isSuspect = (part: { bytes: Uint8Array } | undefined) => part !== undefined && mayBeIllFormed(part.bytes);
  return parts.some(isSuspect) || [...custom.keys()].some((name) => mayBeIllFormed(Buffer.from(name)));
}

/** Serialized. The checkpoint is the caller's and stays as it is. */
function withoutState(checkpoint: Checkpoint): Uint8Array {
  const head = Object.assign(create(CheckpointSchema), checkpoint);
  delete head.state;
  return toBinary(CheckpointSchema, head);
}

function conditionBytes(conditions: SaveConditions): Uint8Array {
  const { expectedLatest, expectedRevision: revision = 0n, writes = [], ttlMs, leaseToken = 0n } = conditions;
  const latest = expectedLatest === undefined ? {} : expected(expectedLatest);
  const request = create(SaveRequestSchema, {
    writes,
    leaseToken,
    ...((expectedLatest !== undefined || revision) && { expectedLatest: { ...latest, revision } }),
    ...(ttlMs === undefined ? {} : { ttl: duration(ttlMs) }),
  });
  return serialized(SaveRequestSchema, request);
}

function expected(latest: ExpectedLatest): MessageInitShape<typeof ExpectedLatestSchema> {
  if (typeof latest === "string") {
    return { expected: { case: "checkpointId", value: latest } };
  }
  if (typeof latest === "bigint") {
    return { expected: { case: "step", value: latest } };
  }
  return { expected: { case: "none", value: true } };
}
