/** What goes with a checkpoint in its save. */

import type { CallOptions } from "./budget.js";
import type { PendingWriteInit } from "./checkpoint.js";
import type { NONE } from "./values.js";
import { SAVE } from "./wire/methods.js";

/** What the latest checkpoint must be before a save: an id, a step, or that there is none. */
export type ExpectedLatest = string | bigint | typeof NONE;

/** What goes with a checkpoint. */
export interface SaveConditions {
  /** What the latest checkpoint of (session, namespace) must be before this save. */
  expectedLatest?: ExpectedLatest | undefined;
  /**
   * The revision in which that checkpoint was written, beside its id or step: `Saved.revision`, or `checkpointRevision`
   * of a load. Without it, a checkpoint that was deleted and saved again under the same id is the expected one, too.
   */
  expectedRevision?: bigint | undefined;
  /** Pending writes of this checkpoint, stored with it. */
  writes?: readonly PendingWriteInit[] | undefined;
  /** The session ends this long after its last save, 1000 or more. Default: the session's setting stays as it is. */
  ttlMs?: number | undefined;
  /** Fencing token of the lease under which the caller writes. */
  leaseToken?: bigint | undefined;
}

export interface SaveOptions extends SaveConditions, CallOptions {}

const NO_CONDITIONS = new Uint8Array();

/** They as a SaveRequest with nothing else. Throws InvalidArgument, with the field. */
export function conditionBytes(conditions: SaveConditions): Uint8Array {
  const { expectedLatest, expectedRevision: revision = 0n, writes = [], ttlMs: ttl, leaseToken = 0n } = conditions;
  const isConditional = expectedLatest !== undefined || revision !== 0n;
  if (!isConditional && writes.length === 0 && ttl === undefined && leaseToken === 0n) {
    return NO_CONDITIONS;
  }
  const latest = isConditional ? { expectedLatest: { ...expected(expectedLatest), revision } } : {};
  return SAVE.request.encode({ writes, leaseToken, ttl, ...latest });
}

/** Throws TypeError for what is none of them, such as null, which must not be taken for NONE. */
function expected(latest: ExpectedLatest | undefined) {
  switch (typeof latest) {
    case "undefined":
      return {};
    case "string":
      return { checkpointId: latest };
    case "bigint":
      return { step: latest };
    default:
      if (latest?.none !== true) {
        throw new TypeError(`expectedLatest is ${latest}: give a checkpoint id, a step as a bigint, or NONE`);
      }
      return { none: true };
  }
}
