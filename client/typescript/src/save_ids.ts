/**
 * The ids of saves. The server knows retries by them, and refuses a save that arrives after a later one.
 *
 * A save may end without it being known whether it was stored. The same save again is a retry then, and has the same id.
 */

import { createHash, randomBytes } from "node:crypto";
import type { Draft } from "./draft.js";
import { Aborted, FailedPrecondition, InvalidArgument, TooLarge } from "./errors.js";
import { SAVE } from "./wire/methods.js";

const MOST_UNSETTLED = 1024;
/**
 * The server has decided about the save with these errors, and not stored it. After all other errors, an attempt may have been
 * stored: even a retry that was refused says nothing about the attempts before it.
 */
const SETTLED = [Aborted, FailedPrecondition, InvalidArgument, TooLarge];

/** Saves of one checkpoint that overlap. */
interface Overlap {
  underWay: number;
  /** The numbers of those that are stored, or may be. */
  numbers: bigint[];
  /** The one of unknown outcome with the greatest number. */
  open: OpenSave | undefined;
}

/** A save of unknown outcome. */
interface OpenSave {
  digest: string;
  number: bigint;
}

/** Numbers the saves of one client, or of one thread, in the order of the calls. */
export class SaveIds {
  readonly #writer = randomBytes(8).readBigUInt64LE() || 1n;
  #last = 0n;
  /** Saves of unknown outcome, the oldest first. */
  readonly #unsettled = new Map<string, OpenSave>();
  readonly #overlaps = new Map<string, Overlap>();

  /** Give a save its id, when it is called and before it waits for anything. */
  identify(draft: Draft): IdentifiedSave {
    this.#last += 1n;
    const key = keyOf(draft);
    const number = this.#retried(key, draft) ?? this.#last;
    draft.identify(SAVE.request.encode({ saveId: { writer: this.#writer, number } }));
    this.#begin(key, number);
    return {
      succeeded: () => this.#end(key, {}),
      failed: (error) => {
        const isSettled = SETTLED.some((kind) => error instanceof kind);
        this.#end(key, isSettled ? { refused: number } : { open: { digest: digestOf(draft), number } });
      },
    };
  }

  /** The number of the save that this one repeats. */
  #retried(key: string, draft: Draft): bigint | undefined {
    const before = this.#unsettled.size > 0 ? this.#unsettled.get(key) : undefined;
    if (before === undefined) {
      return undefined;
    }
    this.#unsettled.delete(key);
    return before.digest === digestOf(draft) ? before.number : undefined;
  }

  #begin(key: string, number: bigint): void {
    const overlap = this.#overlaps.get(key) ?? { underWay: 0, numbers: [], open: undefined };
    overlap.underWay += 1;
    overlap.numbers.push(number);
    this.#overlaps.set(key, overlap);
  }

  #end(key: string, { refused, open }: { refused?: bigint; open?: OpenSave }): void {
    const overlap = this.#overlaps.get(key) as Overlap;
    overlap.underWay -= 1;
    if (refused) {
      overlap.numbers = overlap.numbers.filter((number) => number !== refused);
    }
    if (open && open.number > (overlap.open?.number ?? 0n)) {
      overlap.open = open;
    }
    // Where a later save may be stored, the same save again comes after that one, and is none of its retries.
    const candidate = overlap.open;
    if (candidate && !overlap.numbers.some((number) => number > candidate.number)) {
      this.#note(key, candidate);
      overlap.open = undefined;
    }
    if (overlap.underWay === 0) {
      this.#overlaps.delete(key);
    }
  }

  #note(key: string, save: OpenSave): void {
    this.#unsettled.delete(key);
    this.#unsettled.set(key, save);
    for (const oldest of this.#unsettled.keys()) {
      if (this.#unsettled.size <= MOST_UNSETTLED) {
        break;
      }
      this.#unsettled.delete(oldest);
    }
  }
}

/** A save with an id. It takes note of how the save ends. */
export interface IdentifiedSave {
  succeeded(): void;
  failed(error: unknown): void;
}

/** Ids hold no control characters. */
function keyOf({ key, checkpointId }: Draft): string {
  return `${key}\u0000${checkpointId}`;
}

/** Of the checkpoint, whatever the conditions are. */
function digestOf(draft: Draft): string {
  return createHash("sha256").update(draft.checkpoint()).digest("base64");
}
