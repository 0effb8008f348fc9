/** What is asked of a list: as much of it as possible of the server, and the rest of what the server finds. */

import { isDeepStrictEqual } from "node:util";
import type { RunnableConfig } from "@langchain/core/runnables";
import type { CheckpointListOptions } from "@langchain/langgraph-checkpoint";
import type { ListedCheckpoint } from "../answers.js";
import type { Client } from "../client.js";
import { FIRST, type Metadata, SPILLED, STEP, searchTexts, stepOf } from "./metadata.js";
import { type Place, placeOf, storedNamespace } from "./place.js";

const MOST_PER_PAGE = 1000;
/** Entries that the server is asked for. What it finds is compared with all of them anyway. */
const MOST_SEARCHED = 16;

export class Query {
  readonly #place: Place;
  readonly #wanted: Metadata;
  /** Those of the wanted entries that the server can look for. */
  readonly #searched: Record<string, string>;
  /** "" for any; by the server where there is a thread, else here. */
  readonly #before: string;

  constructor(config: RunnableConfig | undefined, { filter = {}, before }: CheckpointListOptions) {
    const namespace = config?.configurable?.checkpoint_ns;
    this.#place = placeOf(config) ?? { threadId: "", namespace, checkpointId: "" };
    this.#wanted = filter;
    this.#searched = Object.fromEntries(searchTexts(Object.entries(filter)).slice(0, MOST_SEARCHED));
    this.#before = String(before?.configurable?.checkpoint_id ?? "");
  }

  /** Whether a checkpoint that the server has found is one that is wanted. */
  matches(metadata: Metadata): boolean {
    return Object.entries(this.#wanted).every(
      ([key, value]) => Object.hasOwn(metadata, key) && isDeepStrictEqual(metadata[key], value),
    );
  }

  /** What the server finds, newest first. `limit`: how many are likely to be needed. */
  async *found(client: Client, limit: number | undefined): AsyncGenerator<ListedCheckpoint, void, undefined> {
    const { threadId, checkpointId: only } = this.#place;
    const step = stepOf(this.#wanted[STEP]);
    const items = client.listCheckpoints(threadId, {
      namespace: this.#namespace,
      beforeCheckpointId: this.#beforeId(),
      metadata: await this.#metadata(client),
      minStep: step,
      maxStep: step,
      includeWrites: true,
      pageSize: Math.min(limit ?? 0, MOST_PER_PAGE),
    });
    for await (const item of items) {
      const id = item.checkpoint.checkpointId;
      if (only && id < only) {
        return;
      }
      if ((!only || id === only) && (!this.#before || id < this.#before)) {
        yield item;
      }
    }
  }

  /** What the server looks for: of checkpoints with too many entries it can find `FIRST` only. */
  async #metadata(client: Client): Promise<Record<string, string>> {
    const entries = Object.entries(this.#searched);
    const first = entries.filter(([key]) => FIRST.includes(key));
    if (first.length === entries.length) {
      return this.#searched;
    }
    const options = { namespace: this.#namespace, metadata: SPILLED, view: "header", pageSize: 1 } as const;
    for await (const page of client.listCheckpoints(this.#place.threadId, options).pages()) {
      if (page.items.length > 0) {
        return Object.fromEntries(first);
      }
    }
    return this.#searched;
  }

  get #namespace(): string | undefined {
    const { namespace } = this.#place;
    return namespace === undefined ? undefined : storedNamespace(namespace);
  }

  /** Below this the server begins. `!` follows whatever an id ends with. */
  #beforeId(): string {
    const { threadId, checkpointId: only } = this.#place;
    if (!threadId) {
      return "";
    }
    const bounds = [this.#before, only && `${only}!`].filter((bound) => bound);
    return bounds.sort()[0] ?? "";
  }
}
