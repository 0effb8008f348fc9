/** A save as it goes to the server: serialized at once, sent whole or with a delta in place of the state. */

import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { CheckpointInit } from "./checkpoint.js";
import { conditionBytes, type SaveConditions } from "./conditions.js";
import { type Snapshot, snapshot, writeDelta, writeState } from "./delta.js";
import type { Base } from "./memory.js";
import { written } from "./wire/codec.js";
import { checkpointCodec, stateCodec } from "./wire/messages.js";
import { SAVE } from "./wire/methods.js";

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

  /** Throws InvalidArgument, with the field, for what cannot be serialized. */
  constructor(checkpoint: CheckpointInit, conditions: SaveConditions) {
    const { state, ...head } = checkpoint;
    const { sessionId = "", namespace = "", checkpointId, step = 0n } = head;
    this.#conditions = conditionBytes(conditions);
    try {
      this.#head = checkpointCodec.encode(head, "checkpoint");
      this.snapshot = state && snapshot(state);
      this.#state = state && !this.snapshot ? stateCodec.encode(state, "checkpoint.state") : undefined;
    } catch (error) {
      checkpointCodec.encode(checkpoint, "checkpoint"); // throws the same error, with the whole name of the field
      throw error;
    }
    this.sessionId = sessionId;
    this.key = `${sessionId}\u0000${namespace}`;
    this.checkpointId = checkpointId || step.toString().padStart(20, "0");
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
    return written((writer) => this.#writeCheckpoint(writer));
  }

  /** The request with the full state. */
  full(): Uint8Array {
    return written((writer) => {
      writer.tag(CHECKPOINT, WireType.LengthDelimited).fork();
      this.#writeCheckpoint(writer);
      writer.join().raw(this.#conditions).raw(this.#id);
    });
  }

  /** The request with a delta; undefined: there is none, or no gain in it. */
  deltaFrom(base: Base): Uint8Array | undefined {
    const { snapshot } = this;
    if (!snapshot || base.checkpointId === this.checkpointId) {
      return undefined; // it would replace what it starts from, and could not be repeated
    }
    let isExpressible = false;
    const request = written((writer) => {
      writer.tag(CHECKPOINT, WireType.LengthDelimited).bytes(this.#head).raw(this.#conditions).raw(this.#id);
      SAVE.request.write(writer, { baseCheckpointId: base.checkpointId, baseRevision: base.revision });
      writer.tag(DELTA, WireType.LengthDelimited).fork();
      isExpressible = writeDelta(writer, base.snapshot, snapshot);
      writer.join();
    });
    const rest = this.#head.length + this.#conditions.length + this.#id.length;
    return isExpressible && request.length - rest < snapshot.size ? request : undefined;
  }

  #writeCheckpoint(writer: BinaryWriter): void {
    writer.raw(this.#head);
    if (this.snapshot) {
      writer.tag(STATE, WireType.LengthDelimited).fork();
      writeState(writer, this.snapshot);
      writer.join();
    } else if (this.#state) {
      writer.tag(STATE, WireType.LengthDelimited).bytes(this.#state);
    }
  }
}
