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

/** Saves of one checkpoint: those under way, and the last one of unknown outcome. */
interface Saves {
  underWay: number;
  /** Of those under way, and of those that have ended meanwhile and are stored, or may be. */
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
  readonly #underWay = new Map<string, Saves>();
  /** Of checkpoints with an open save, and none under way; the oldest first. */
  readonly #unsettled = new Map<string, Saves>();

  /** Give a save its id, when it is called and before it waits for anything. */
  identify(draft: Draft): IdentifiedSave {
    this.#last += 1n;
    const key = keyOf(draft);
    const number = this.#begin(key, draft, this.#last);
    draft.identify(SAVE.request.encode({ saveId: { writer: this.#writer, number } }));
    return {
      succeeded: () => this.#end(key, {}),
      failed: (error) => {
        const isSettled = SETTLED.some((kind) => error instanceof kind);
        this.#end(key, isSettled ? { refused: number } : { open: { digest: digestOf(draft), number } });
      },
    };
  }

  /** The number of the save that this one repeats, else its own. */
  #begin(key: string, draft: Draft, own: bigint): bigint {
    const saves = this.#underWay.get(key) ?? this.#unsettled.get(key) ?? { underWay: 0, numbers: [], open: undefined };
    this.#unsettled.delete(key);
    this.#underWay.set(key, saves);
    let number = own;
    const open = retriable(saves);
    if (open && open.digest === digestOf(draft)) {
      number = open.number;
      saves.open = undefined; // of two equal ones, only one is the retry
    }
    saves.underWay += 1;
    saves.numbers.push(number);
    return number;
  }

  #end(key: string, { refused, open }: { refused?: bigint; open?: OpenSave }): void {
    const saves = this.#underWay.get(key) as Saves;
    saves.underWay -= 1;
    if (refused) {
      saves.numbers.splice(saves.numbers.indexOf(refused), 1);
    }
    if (open && open.number > (saves.open?.number ?? 0n)) {
      saves.open = open;
    }
    if (saves.underWay === 0) {
      this.#underWay.delete(key);
      if (retriable(saves)) {
        this.#remember(key, saves);
      }
    }
  }

  #remember(key: string, saves: Saves): void {
    saves.numbers = [];
    this.#unsettled.set(key, saves);
    for (const oldest of this.#unsettled.keys()) {
      if (this.#unsettled.size <= MOST_UNSETTLED) {
        break;
      }
      this.#unsettled.delete(oldest);
    }
  }
}

/** The open save, if it is a retry when it is made again. Where a later one may be stored, it comes after that one. */
function retriable({ open, numbers }: Saves): OpenSave | undefined {
  return open && numbers.every((number) => number <= open.number) ? open : undefined;
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
