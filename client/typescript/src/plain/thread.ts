/** A thread of plain state: what most programs need of a session, without the contract's messages. */

import { hostname } from "node:os";
import type { CallOptions } from "../budget.js";
import type { Checkpoint, VersionedState } from "../checkpoint.js";
import type { Client } from "../client.js";
import type { Runner } from "../runner.js";
import { SaveIds } from "../save_ids.js";
import type { Saver } from "../saver.js";
import type { AcquireOptions } from "../sessions.js";
import { NONE } from "../values.js";
import { type Codec, JSON_CODEC } from "./codec.js";
import { at } from "./json.js";
import { appended, LAYOUT, PLAIN_STATE, read, withKnownBytes, write } from "./layout.js";

const DECODER = new TextDecoder();

/** A state of which nothing is known but that it has keys. */
export type PlainState = Record<string, unknown>;

/** The items of a list of a state. */
export type ItemOf<T> = NonNullable<T> extends readonly (infer Item)[] ? Item : unknown extends T ? unknown : never;

export interface ThreadOptions<S extends object> {
  /**
   * Makes a state of what was stored, such as a zod schema's `parse`. Default: the stored state is taken for an `S`. A stored
   * key that it leaves out is an error: the next save would lose it.
   */
  parse?: ((stored: unknown) => S) | undefined;
  /** How values are written. Default: as JSON. */
  codec?: Codec | undefined;
}

export interface ThreadSaveOptions extends CallOptions {
  /** Key to JSON text, for lists to filter by. */
  metadata?: Record<string, string> | undefined;
  /** The thread ends this long after its last save, 1000 or more. Default: the thread's setting stays as it is. */
  ttlMs?: number | undefined;
}

export interface ThreadLeaseOptions extends AcquireOptions {
  /** A name that others are shown. Default: host and process. */
  holder?: string | undefined;
}

/** One saved state of a thread. Load it with `Thread.at(version.step)`. */
export interface Version {
  /** 1 for the first save, one more for each that follows. */
  step: number;
  /** The server's time of the save. */
  savedAt: Date;
  /** Size of the state. */
  stateBytes: number;
  metadata: Readonly<Record<string, string>>;
}

/** The right to save to a thread, from `Thread.lease`. */
export interface ThreadLease extends AsyncDisposable {
  /** Aborted when the lease is lost; its reason is the `LeaseLost`. */
  readonly signal: AbortSignal;

  /** Give the lease back. Whether it was still held. May be repeated. */
  release(): Promise<boolean>;
}

/**
 * A session that holds one plain state, from `Client.thread`.
 *
 * Every save adds a version. It succeeds only if nobody else has saved since this object loaded or saved last. Lists are
 * stored item by item and objects key by key, so a save costs what changed. Calls of one object run one after the other, in
 * the order in which they were made.
 *
 *     const thread = client.thread<{ messages: Message[] }>("order-42");
 *     const state = (await thread.load()) ?? { messages: [] };
 *     state.messages.push({ role: "user", content: "hello" });
 *     await thread.save(state);
 */
export class Thread<S extends object = PlainState> {
  /** The session's id. */
  readonly threadId: string;
  readonly #client: Client;
  readonly #saver: Saver;
  /** Its own: equal states of two threads are two saves. */
  readonly #ids = new SaveIds();
  readonly #options: ThreadOptions<S>;
  readonly #codec: Codec;
  #step = 0;
  #hasLoaded = false;
  #latest: string | typeof NONE = NONE;
  #revision = 0n;
  #state: VersionedState = { custom: {} };
  #runner: Runner | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** @internal For `Client.thread`. */
  constructor(client: Client, saver: Saver, threadId: string, options: ThreadOptions<S> = {}) {
    this.#client = client;
    this.#saver = saver;
    this.threadId = threadId;
    this.#options = options;
    this.#codec = options.codec ?? JSON_CODEC;
  }

  /** Of the state that this object loaded or saved last; 0: none. */
  get step(): number {
    return this.#step;
  }

  /**
   * The latest state, which is the caller's to change. undefined: the thread has none.
   *
   * Throws TypeError for a session that was not saved as plain state, what `parse` throws, DataLoss, and the other
   * LockstitchErrors that any call may throw.
   */
  load(options?: CallOptions): Promise<S | undefined> {
    return this.#inTurn(() => this.#load(options));
  }

  /**
   * Store a state as the next version; when this returns, it is durable. The state is read at once, and may be changed
   * afterwards.
   *
   * Throws TypeError, with the path, for what would not come back equal: Dates, Maps, NaN, undefined in a list, half of a
   * surrogate pair. Throws ExpectedLatestMismatch where another has saved meanwhile (load, change that state, save again),
   * LeaseLost, TooLarge, and what any call may throw. After an error that leaves open whether the state was stored, such as
   * DeadlineExceeded, save the same state again.
   */
  async save(state: S, options: ThreadSaveOptions = {}): Promise<void> {
    if (typeof state !== "object" || state === null || Array.isArray(state)) {
      throw new TypeError("a state is an object with keys");
    }
    const channels = write(state, this.#codec);
    await this.#inTurn(() => this.#put(withKnownBytes(channels, this.#state, this.#codec), options));
  }

  /**
   * Add items to a list of the latest state, and save that as the next version. Loads the state first if this object has not.
   * Throws TypeError where the key holds no list, and what `save` throws.
   *
   *     await thread.append("messages", { role: "user", content: "hello" });
   */
  append<K extends keyof S & string>(key: K, ...items: ItemOf<S[K]>[]): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#step === 0 && !this.#hasLoaded) {
        // Once: an append that is repeated must not find what it has stored.
        await this.#load();
      }
      await this.#put(appended(this.#state, key, items, this.#codec), {});
    });
  }

  /** The state of an earlier step. Throws NotFound, and what `load` throws. */
  async at(step: number, options?: CallOptions): Promise<S> {
    const { checkpoint } = await this.#client.load(this.threadId, { step: BigInt(step) }, options);
    return this.#read(checkpoint);
  }

  /** The versions, newest first, without their states. `timeoutMs` is for each page. */
  async *history(options: CallOptions = {}): AsyncGenerator<Version, void, undefined> {
    for await (const one of this.#client.listCheckpoints(this.threadId, {
      ...options,
      namespace: "",
      view: "header",
    })) {
      const { checkpoint, savedAt, stateBytes } = one;
      const { step, metadata } = checkpoint;
      yield { step: Number(step), savedAt, stateBytes: Number(stateBytes), metadata };
    }
  }

  /** Copy the thread, up to a step or to its latest one, into a new thread. Throws AlreadyExists, NotFound. */
  async fork(threadId: string, options: CallOptions & { step?: number | undefined } = {}): Promise<Thread<S>> {
    const { step, ...call } = options;
    const part = step === undefined ? {} : { at: { checkpointId: idOf(step) } };
    await this.#client.copySession(this.threadId, threadId, { ...call, ...part });
    const other = new Thread<S>(this.#client, this.#saver, threadId, this.#options);
    await other.load(call);
    return other;
  }

  /** Delete all that came after a step, and load that. Throws NotFound, LeaseHeld, and what any call may throw. */
  rewind(step: number, options?: CallOptions): Promise<S> {
    return this.#inTurn(async () => {
      const leaseToken = this.#runner?.token ?? 0n;
      await this.#client.rewindSession(this.threadId, { checkpointId: idOf(step) }, { ...options, leaseToken });
      return (await this.#load(options)) as S;
    });
  }

  /**
   * The right to save: until it is released, others' saves fail. It is renewed in the background. Throws LeaseHeld while
   * another has it; with `wait: true` only after `timeoutMs`.
   *
   *     await using lease = await thread.lease({ wait: true });
   *     const state = await thread.load();
   */
  async lease(options: ThreadLeaseOptions = {}): Promise<ThreadLease> {
    const { holder = `${hostname()}:${process.pid}`, ...acquire } = options;
    const runner = await this.#client.run(this.threadId, holder, acquire);
    this.#runner = runner;
    const release = async () => {
      if (this.#runner === runner) {
        this.#runner = undefined;
      }
      return runner.release();
    };
    return {
      signal: runner.signal,
      release,
      async [Symbol.asyncDispose]() {
        await release();
      },
    };
  }

  async #load(options?: CallOptions): Promise<S | undefined> {
    const { checkpoint, checkpointRevision } = await this.#client.loadLatest(this.threadId, options);
    if (checkpoint === undefined) {
      [this.#step, this.#latest, this.#revision, this.#state] = [0, NONE, 0n, { custom: {} }];
      this.#hasLoaded = true;
      return undefined;
    }
    const state = this.#read(checkpoint);
    this.#saver.remember(checkpoint, checkpointRevision);
    this.#revision = checkpointRevision;
    this.#step = Number(checkpoint.step);
    this.#latest = checkpoint.checkpointId;
    this.#state = stateOf(checkpoint);
    this.#hasLoaded = true;
    return state;
  }

  async #put(state: VersionedState, { metadata = {}, ...options }: ThreadSaveOptions): Promise<void> {
    const step = this.#step + 1;
    const checkpoint = {
      sessionId: this.threadId,
      step: BigInt(step),
      parentId: this.#step ? idOf(this.#step) : "",
      state,
      header: PLAIN_STATE,
      metadata,
    };
    const given = { ...options, expectedLatest: this.#latest, expectedRevision: this.#revision };
    const save = (leaseToken: bigint) => this.#saver.save(checkpoint, { ...given, leaseToken }, this.#ids);
    const { checkpointId, revision } = await (this.#runner ? this.#runner.write(save) : save(0n));
    [this.#step, this.#latest, this.#revision, this.#state] = [step, checkpointId, revision, state];
  }

  #read(checkpoint: Checkpoint): S {
    if (checkpoint.header?.type !== PLAIN_STATE.type) {
      throw new TypeError(
        `checkpoint "${checkpoint.checkpointId}" of session "${this.threadId}" holds no plain state; load it with the ` +
          "client's loadLatest or load",
      );
    }
    const layout = DECODER.decode(checkpoint.header.data);
    if (layout !== LAYOUT) {
      throw new TypeError(
        `checkpoint "${checkpoint.checkpointId}" of session "${this.threadId}" is a plain state of layout "${layout}", and ` +
          `this client reads layout "${LAYOUT}": update the client`,
      );
    }
    const stored = read(stateOf(checkpoint), this.#codec);
    const { parse } = this.#options;
    if (!parse) {
      return stored as S;
    }
    const state = parse(stored);
    checkKept(stored, state, []);
    return state;
  }

  /** Calls of one object start from what the call before has loaded or saved. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** A schema that drops a key would lose it at the next save. */
function checkKept(stored: unknown, kept: unknown, path: (string | number)[]): void {
  if (typeof stored !== "object" || stored === null || typeof kept !== "object" || kept === null) {
    return;
  }
  for (const [key, item] of Object.entries(stored)) {
    const inner = [...path, Array.isArray(stored) ? Number(key) : key];
    if (!Object.hasOwn(kept, key)) {
      throw new TypeError(`${at(inner)} is stored, and parse does not keep it`);
    }
    checkKept(item, (kept as PlainState)[key], inner);
  }
}

function stateOf(checkpoint: Checkpoint): VersionedState {
  return checkpoint.state ?? { custom: {} };
}

/** The id that the server gives to a checkpoint of this step. */
function idOf(step: number): string {
  return String(step).padStart(20, "0");
}
