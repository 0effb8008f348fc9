/**
 * What a run of a graph has read and saved, so that it never continues from a checkpoint that is no longer the latest.
 *
 * A saver is not told where a run begins and ends. But a run reads the checkpoint from which it begins, and LangGraph copies
 * the `configurable` that came with it into the configs of all puts of this run. So the `configurable` carries the run, under
 * a symbol. A run that begins from nothing reads nothing: its puts name their parent, which has to be the latest checkpoint.
 */

import type { RunnableConfig } from "@langchain/core/runnables";
import type { ExpectedLatest } from "../conditions.js";
import type { LockstitchError } from "../errors.js";
import type { Lease } from "../lease.js";
import { NONE } from "../values.js";
import { type Place, storedNamespace } from "./place.js";

const RUN = Symbol("lockstitch.run");

/** The lease of a thread, held or being taken. */
export interface Held {
  readonly acquisitionId: string;
  readonly lease: Promise<Lease>;
  /** By `performance.now()`. */
  usedAt: number;
  /** Why it no longer counts. */
  lost: LockstitchError | undefined;
}

export class Run {
  readonly #owner: object;
  readonly #place: Place;
  /** Whether its caller has named the checkpoint from which it begins: it may fork the thread there. */
  readonly #isNamed: boolean;
  /** The lease of the run whose subgraph this is. */
  readonly #above: Held | undefined;
  /** Id of the checkpoint that the next put has as its parent. */
  #tip: string;
  /** Id of the latest checkpoint, unless somebody else has saved since; undefined: unknown. */
  #latest: string | undefined;
  #hasSaved = false;
  /** The lease under which it has written. */
  held: Held | undefined;
  /** Why it may not write any more. */
  lost: LockstitchError | undefined;
  /** Ends when its checkpoint is known to be the latest under `held`. */
  checked: Promise<void> | undefined;

  /** owner: of the leases. place: of the checkpoint that was read. */
  constructor(owner: object, place: Place, isNamed: boolean, above: Held | undefined) {
    this.#owner = owner;
    this.#place = place;
    this.#isNamed = isNamed;
    this.#above = above;
    this.#tip = place.checkpointId;
    this.#latest = isNamed ? undefined : place.checkpointId;
  }

  /** The run of this owner that a config carries. */
  static of(owner: object, config: RunnableConfig, { threadId, namespace }: Place): Run | undefined {
    const run: unknown = (config.configurable as Record<symbol, unknown> | undefined)?.[RUN];
    if (!(run instanceof Run) || run.#owner !== owner || run.#place.threadId !== threadId) {
      return undefined;
    }
    return namespaceOf(run.#place.namespace) === namespaceOf(namespace) ? run : undefined;
  }

  /** The config with this run, for whoever continues from it. */
  carriedBy(config: RunnableConfig): RunnableConfig {
    return { ...config, configurable: { ...config.configurable, [RUN]: this } };
  }

  /** Why it may not write any more, if this process knows. */
  get problem(): LockstitchError | undefined {
    return this.lost ?? this.held?.lost ?? this.#above?.lost;
  }

  /** Id of the latest checkpoint, as this run knows it; undefined: it may be any. */
  get latest(): string | undefined {
    return this.#latest;
  }

  get hasSaved(): boolean {
    return this.#hasSaved;
  }

  /** What a put with this parent has to find as the latest checkpoint; undefined: any. */
  expected(parentId: string): ExpectedLatest | undefined {
    if (parentId !== this.#tip) {
      return this.#isNamed ? undefined : expectedOf(parentId);
    }
    return this.#latest === undefined ? undefined : expectedOf(this.#latest);
  }

  /** Continue from a checkpoint that is about to be stored: its tasks may write at once. The result takes that back. */
  advance(parentId: string, checkpointId: string): () => void {
    if (parentId !== this.#tip) {
      return () => {};
    }
    const [tip, latest, hasSaved] = [this.#tip, this.#latest, this.#hasSaved];
    this.#tip = checkpointId;
    // An id may be below its parent's, where clocks differ.
    this.#latest = latest !== undefined && latest > checkpointId ? latest : checkpointId;
    this.#hasSaved = true;
    return () => {
      if (this.#tip === checkpointId) {
        [this.#tip, this.#latest, this.#hasSaved] = [tip, latest, hasSaved];
      }
    };
  }
}

/** What a put without a known run has to find as the latest checkpoint: its parent. */
export function expectedOf(parentId: string): ExpectedLatest {
  return parentId || NONE;
}

function namespaceOf(namespace: string | undefined): string {
  return storedNamespace(namespace ?? "");
}
