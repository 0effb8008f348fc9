/**
 * The ids of saves. The server knows retries by them, and refuses a save that arrives after a later one.
 *
 * A save may end without it being known whether it was stored. The same save again is a retry then, and has the same id.
 */

import { createHash, randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Draft } from "./draft.js";
import { Cancelled, DeadlineExceeded, Internal, LockstitchError, Unavailable } from "./errors.js";
import { SaveRequestSchema } from "./gen/lockstitch/v1/checkpoint_service_pb.js";

const MOST_UNSETTLED = 1024;
/** After these errors, the save may have been stored. */
const OPEN = [DeadlineExceeded, Unavailable, Cancelled, Internal];

/** Numbers the saves of one client, or of one thread, in the order of the calls. */
export class SaveIds {
  readonly #writer = randomBytes(8).readBigUInt64LE() || 1n;
  #last = 0n;
  /** Digests and numbers of saves of unknown outcome, the oldest first. */
  readonly #unsettled = new Map<string, { digest: string; number: bigint }>();

  /** Give a save its id, when it is called and before it waits for anything. The result takes note of how it ends. */
  identify(draft: Draft): (error: unknown) => void {
    this.#last += 1n;
    const number = this.#retried(draft) ?? this.#last;
    const saveId = { writer: this.#writer, number };
    draft.identify(toBinary(SaveRequestSchema, create(SaveRequestSchema, { saveId })));
    return (error) => {
      if (!(error instanceof LockstitchError) || OPEN.some((kind) => error instanceof kind)) {
        this.#note(draft, { digest: digestOf(draft), number });
      }
    };
  }

  /** The number of the save that this one repeats. */
  #retried(draft: Draft): bigint | undefined {
    const key = keyOf(draft);
    const before = this.#unsettled.get(key);
    this.#unsettled.delete(key);
    return before?.digest === undefined || before.digest !== digestOf(draft) ? undefined : before.number;
  }

  #note(draft: Draft, save: { digest: string; number: bigint }): void {
    const key = keyOf(draft);
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

/** Ids hold no control characters. */
function keyOf({ key, checkpointId }: Draft): string {
  return `${key}\u0000${checkpointId}`;
}

/** Of the checkpoint, whatever the conditions are. */
function digestOf(draft: Draft): string {
  return createHash("sha256").update(draft.checkpoint()).digest("base64");
}
