/** Saving: what changed where that is enough, the whole state where it is not, and concurrent saves together. */

import type { Saved } from "./answers.js";
import type { Budget } from "./budget.js";
import type { Caller } from "./caller.js";
import type { Checkpoint, CheckpointInit } from "./checkpoint.js";
import type { SaveOptions } from "./conditions.js";
import { Draft } from "./draft.js";
import { type DeadlineExceeded, DeltaRefused, forCaller, type LockstitchError } from "./errors.js";
import { Lane, type LaneCalls } from "./lane.js";
import type { SaveLimiter } from "./limiter.js";
import type { Memory } from "./memory.js";
import { SaveIds } from "./save_ids.js";
import type { SaveStreamCall } from "./transport.js";
import { savedOf } from "./wire/answers.js";
import { SAVE, type SaveResponse } from "./wire/methods.js";

const LANES = 4;
/** How long no stream is tried after it has turned out that there are none. */
const AVOID_MS = 300_000;

/**
 * memory: what is known of earlier saves. It learns of nothing that the server has not acknowledged, so saves of one
 * session may run side by side: each delta names the base it was made from.
 *
 * limiter: of saves in flight. stream: whether saves that are under way at the same time share streams.
 */
export class Saver implements LaneCalls {
  readonly #caller: Caller;
  readonly #memory: Memory | undefined;
  readonly #stream: boolean;
  readonly #lanes: Lane[];
  /** Saves that have a call of their own, by session: others of the session come after them. */
  readonly #alone = new Map<string, Promise<void>>();
  readonly #limiter: SaveLimiter;
  readonly #ids = new SaveIds();
  #streamsKnown = false;
  #avoidUntil = 0;

  constructor(caller: Caller, memory: Memory | undefined, limiter: SaveLimiter, stream: boolean) {
    this.#caller = caller;
    this.#memory = memory;
    this.#limiter = limiter;
    this.#stream = stream;
    this.#lanes = Array.from({ length: LANES }, () => new Lane(this, caller.retry));
  }

  /** ids: those of a thread of plain state, which has its own. */
  async save(checkpoint: CheckpointInit, options: SaveOptions = {}, ids: SaveIds = this.#ids): Promise<Saved> {
    const budget = this.#caller.budget(options);
    const draft = new Draft(checkpoint, options); // before anything is waited for: the caller may change it afterwards
    const identified = ids.identify(draft);
    try {
      const response = await this.#limited(draft, budget);
      identified.succeeded();
      return savedOf(response);
    } catch (error) {
      identified.failed(error);
      throw forCaller(error, this.save);
    }
  }

  /** Make a checkpoint that was loaded, in this revision, the base of the next delta. */
  remember(checkpoint: Checkpoint, revision: bigint): void {
    const { key, checkpointId, snapshot } = new Draft(checkpoint, {});
    if (snapshot && revision) {
      this.#memory?.put(key, { checkpointId, revision, snapshot });
    }
  }

  close(): void {
    this.#limiter.close();
    for (const lane of this.#lanes) {
      lane.close();
    }
  }

  async openStream(): Promise<SaveStreamCall> {
    await this.#caller.transport.firstConnection();
    return this.#caller.transport.openSaveStream(this.#caller.budget(undefined));
  }

  late(error: DeadlineExceeded, budget: Budget): Promise<LockstitchError> {
    return this.#caller.transport.late(error, budget);
  }

  saveAlone(request: Uint8Array, budget: Budget): Promise<SaveResponse> {
    return this.#caller.send(SAVE, request, budget);
  }

  streamsWork(): void {
    this.#streamsKnown = true;
  }

  avoidStreams(unlessKnown: boolean): void {
    if (!unlessKnown || !this.#streamsKnown) {
      this.#avoidUntil = performance.now() + AVOID_MS;
    }
  }

  async #limited(draft: Draft, budget: Budget): Promise<SaveResponse> {
    const { size } = draft;
    if (!this.#limiter.take(size)) {
      await this.#limiter.wait(size, budget);
    }
    try {
      return await this.#save(draft, budget);
    } finally {
      this.#limiter.leave(size);
    }
  }

  async #save(draft: Draft, budget: Budget): Promise<SaveResponse> {
    const base = this.#memory?.get(draft.key);
    const delta = base && draft.deltaFrom(base);
    let answer: SaveResponse;
    try {
      answer = await this.#send(delta ?? draft.full(), draft.sessionId, budget);
    } catch (error) {
      if (!delta || !(error instanceof DeltaRefused)) {
        throw error;
      }
      answer = await this.#send(draft.full(), draft.sessionId, budget);
    }
    const { checkpointId, revision } = answer;
    if (draft.snapshot && revision) {
      this.#memory?.put(draft.key, { checkpointId, revision, snapshot: draft.snapshot });
    }
    return answer;
  }

  /** By the way that is best. Saves of one session arrive in the order of the calls. */
  async #send(request: Uint8Array, sessionId: string, budget: Budget): Promise<SaveResponse> {
    for (let before = this.#alone.get(sessionId); before; before = this.#alone.get(sessionId)) {
      await budget.until(before);
    }
    if (this.#limiter.saves > 1 && this.#stream && performance.now() >= this.#avoidUntil) {
      return this.#lane(sessionId).save(request, sessionId, budget);
    }
    return this.#first(sessionId, this.saveAlone(request, budget));
  }

  async #first(sessionId: string, call: Promise<SaveResponse>): Promise<SaveResponse> {
    const ended = call.then(
      () => {},
      () => {},
    );
    this.#alone.set(sessionId, ended);
    try {
      return await call;
    } finally {
      if (this.#alone.get(sessionId) === ended) {
        this.#alone.delete(sessionId);
      }
    }
  }

  #lane(sessionId: string): Lane {
    let hash = 0;
    for (let index = 0; index < sessionId.length; index++) {
      hash = (hash * 31 + sessionId.charCodeAt(index)) | 0;
    }
    return this.#lanes[Math.abs(hash) % LANES] as Lane;
  }
}
