/** What a client remembers of its last saves, to send the next ones as deltas. */

import type { Snapshot } from "./delta.js";

/** How much a client remembers so that it can send what changed instead of whole states. */
export interface DeltaPolicy {
  /** Of how many sessions (each namespace counts) the last saved state is kept. Default 1024. */
  maxEntries: number;
  /**
   * How many bytes these states may have together. Default 64 MiB. The least recently saved are forgotten first; a state
   * larger than all this is not remembered.
   */
  maxBytes: number;
}

const DEFAULTS: DeltaPolicy = { maxEntries: 1024, maxBytes: 64 * 1024 * 1024 };

/** A state that the server has acknowledged, under this id, in this revision. */
export interface Base {
  checkpointId: string;
  revision: bigint;
  snapshot: Snapshot;
}

/** undefined: send full states only. Throws RangeError. */
export function memory(given: Partial<DeltaPolicy> | boolean): Memory | undefined {
  return given === false ? undefined : new Memory({ ...DEFAULTS, ...(given === true ? {} : given) });
}

/** The last acknowledged state of each session, within bounds. */
export class Memory {
  readonly #policy: DeltaPolicy;
  /** In the order in which they were put. */
  readonly #bases = new Map<string, Base>();
  #bytes = 0;

  constructor(policy: DeltaPolicy) {
    if (!(policy.maxEntries >= 1 && policy.maxBytes >= 1)) {
      throw new RangeError("maxEntries and maxBytes must be above 0; delta: false is for none");
    }
    this.#policy = policy;
  }

  get(key: string): Base | undefined {
    return this.#bases.get(key);
  }

  /** Remember an acknowledged state in place of the one before; forget the oldest where there is no room. */
  put(key: string, base: Base): void {
    this.#drop(key);
    if (base.snapshot.size > this.#policy.maxBytes) {
      return;
    }
    this.#bases.set(key, base);
    this.#bytes += base.snapshot.size;
    for (const oldest of this.#bases.keys()) {
      if (this.#bytes <= this.#policy.maxBytes && this.#bases.size <= this.#policy.maxEntries) {
        break;
      }
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#bases.get(key)?.snapshot.size ?? 0;
    this.#bases.delete(key);
  }
}
