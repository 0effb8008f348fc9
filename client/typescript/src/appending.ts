/**
 * Appends to lists of a session, whichever checkpoint is its latest: the server is sent the new items and nothing else.
 *
 * An append is a delta on the latest checkpoint, and names the checkpoint that it expects there. If another program has saved
 * in between, the server says which checkpoint is the latest now, and the append is sent again on top of that. So programs that
 * append to one list at the same time lose nothing. A program that is always slower takes the session's lease for one save, so
 * that it gets its turn; the others wait.
 *
 * Nothing is appended twice either. Each save has a random version of its channels, so a repeated request is the same as its
 * first attempt (UNCHANGED) and never the same as an append of equal items by another program.
 */

import { randomBytes } from "node:crypto";
import { Budget } from "./budget.js";
import type { Caller } from "./caller.js";
import type { CustomChanges, CustomDelta, TypedBlob, VersionedState } from "./checkpoint.js";
import { DeltaRefused, ExpectedLatestMismatch, LeaseHeld, LeaseLost, type LockstitchError } from "./errors.js";
import { appendOf, UnsettledAppends } from "./unsettled.js";
import { ACQUIRE_LEASE, LOAD_LATEST, RELEASE_LEASE, SAVE, type SaveResponse } from "./wire/methods.js";

/** How long a save may find again and again that another program was faster, before it takes the session's lease. */
const FREE_MS = 250;
/** How long that lease lasts if its holder is killed: a save takes far less. */
const TURN_MS = 5000;
/** How long a save waits for the lease of another program: longer than for one of those. */
const WAIT_MS = 8000;
const PAUSE_MS = 20;
const HOLDER = "append";

/** Channels that hold one value, by name. */
export type BlobValues = Readonly<Record<string, TypedBlob>>;

/** From the values before an append to those that it changes. */
export type Fold = (values: BlobValues) => BlobValues;

export interface AppenderOptions {
  /** Default "". */
  namespace?: string | undefined;
  /** Of the checkpoints that this program saves. A session whose latest one has another type belongs to another program. */
  header: TypedBlob;
  /** The channels that `fold` is given. */
  values?: readonly string[] | undefined;
  /** The session ends this long after its last save. */
  ttlMs?: number | undefined;
}

/** The latest checkpoint: "" and 0 where there is none. `revision`: 0 if it is not known. */
interface Head {
  checkpointId: string;
  step: bigint;
  revision: bigint;
  values: BlobValues;
}

interface Request {
  step: bigint;
  leaseToken: bigint;
  bytes: Uint8Array;
}

/** A save under a lease's token, 0 for none. Gives the error if another program was faster. */
type Attempt = (leaseToken: bigint) => Promise<LockstitchError | undefined>;

const NO_HEAD: Head = Object.freeze({ checkpointId: "", step: 0n, revision: 0n, values: {} });

/**
 * Appends to the lists of one (session, namespace).
 *
 * Appends of one object are stored in the order of the calls. If an append has failed and left open whether it was stored, the
 * same append again, within a minute, is a retry: it stores the items if they are not stored yet, whatever was appended since.
 */
export class Appender {
  readonly #caller: Caller;
  readonly #sessionId: string;
  readonly #options: AppenderOptions;
  #head: Head | undefined;
  readonly #unsettled = new UnsettledAppends<Request>();
  #last: Promise<unknown> = Promise.resolve();
  #underWay = 0;

  /** @internal For `Client.appender`. */
  constructor(caller: Caller, sessionId: string, options: AppenderOptions) {
    this.#caller = caller;
    this.#sessionId = sessionId;
    this.#options = options;
  }

  /** Whether a call is under way, or may be repeated. */
  get isNeeded(): boolean {
    return this.#underWay > 0 || !this.#unsettled.isEmpty;
  }

  /**
   * Append items to a list, which begins with the first of them. When this returns, they are durable. `fold`: what changes in
   * the other channels, by what they hold; it may be called several times.
   *
   * Throws TypeError for a session of another program, and what `Client.save` may throw.
   */
  append(channel: string, items: readonly TypedBlob[], fold?: Fold): Promise<void> {
    const budget = this.#caller.budget(undefined);
    return this.#inTurn(async () => {
      const append = appendOf(channel, items);
      if (!(await this.#settle(append, budget))) {
        const attempt = (leaseToken: bigint) => this.#attempt(append, channel, items, fold, leaseToken, budget);
        await this.#repeat(attempt, budget);
      }
    });
  }

  /** These channels of the latest state. It is empty if there is no checkpoint. Throws what `append` may throw. */
  async load(channels: string[]): Promise<VersionedState> {
    return (await this.#load(channels, this.#caller.budget(undefined)))[1];
  }

  /**
   * Load channels of the latest state and save what shall change in them, as one step: again if another program saved.
   *
   * Throws what `append` may throw.
   */
  change(
    channels: string[],
    change: (state: VersionedState) => CustomChanges | undefined,
    header: TypedBlob = this.#options.header,
  ): Promise<void> {
    const budget = this.#caller.budget(undefined);
    const attempt = async (leaseToken: bigint) => {
      const [head, state] = await this.#load(channels, budget);
      const delta = change(state);
      if (!delta) {
        return undefined;
      }
      this.#head = undefined; // its values may change
      return faster(this.#save(this.#request(head, delta, header, leaseToken), budget));
    };
    return this.#inTurn(() => this.#repeat(attempt, budget));
  }

  /** Forget what is known of the session, because it was deleted. */
  forget(): Promise<void> {
    return this.#inTurn(async () => {
      this.#head = undefined;
      this.#unsettled.clear();
    });
  }

  async #attempt(
    append: string,
    channel: string,
    items: readonly TypedBlob[],
    fold: Fold | undefined,
    leaseToken: bigint,
    budget: Budget,
  ): Promise<LockstitchError | undefined> {
    const head = this.#head ?? (await this.#loadHead(budget));
    const changed = fold?.(head.values) ?? {};
    const request = this.#request(head, deltaOf(channel, items, changed), this.#options.header, leaseToken);
    this.#head = undefined;
    let saved: SaveResponse;
    try {
      this.#unsettled.put(append, request);
      saved = await this.#save(request, budget);
    } catch (error) {
      this.#unsettled.put(append, request); // for as long from now on
      if (!(error instanceof ExpectedLatestMismatch || error instanceof DeltaRefused)) {
        throw error;
      }
      this.#head = await this.#nextHead(head, error, budget);
      return error;
    }
    const { checkpointId, revision } = saved;
    this.#head = { checkpointId, step: request.step, revision, values: { ...head.values, ...changed } };
    this.#unsettled.remove(append);
    return undefined;
  }

  /** Repeat an append whose answer was lost. False: there is none, or it is certainly not stored. */
  async #settle(append: string, budget: Budget): Promise<boolean> {
    const request = this.#unsettled.get(append);
    if (!request) {
      return false;
    }
    this.#head = undefined;
    try {
      await this.#save(request, budget);
    } catch (error) {
      const isOver = error instanceof LeaseLost && request.leaseToken; // a lease that has ended never comes back
      if (isOver || error instanceof ExpectedLatestMismatch || error instanceof DeltaRefused) {
        return false;
      }
      throw error;
    }
    this.#unsettled.remove(append);
    return true;
  }

  /** Try until no other program is faster; after a while, under the session's lease. */
  async #repeat(attempt: Attempt, budget: Budget): Promise<void> {
    const free = new Budget(FREE_MS);
    while (free.remaining > 0) {
      const error = await attempt(0n);
      if (!error) {
        return;
      }
      check(budget, error);
    }
    for (;;) {
      try {
        await this.#inLease(attempt, budget);
        return;
      } catch (error) {
        if (!(error instanceof LeaseLost)) {
          throw error;
        }
        check(budget, error); // it ended before the save arrived
      }
    }
  }

  /** Under the session's lease, which keeps other programs waiting. */
  async #inLease(attempt: Attempt, budget: Budget): Promise<void> {
    const leaseToken = await this.#acquire(budget);
    try {
      for (let error = await attempt(leaseToken); error; error = await attempt(leaseToken)) {
        check(budget, error);
      }
    } finally {
      const request = { sessionId: this.#sessionId, leaseToken };
      // It ends by itself if this fails.
      await this.#caller.call(RELEASE_LEASE, request, undefined).catch(() => {});
    }
  }

  async #acquire(budget: Budget): Promise<bigint> {
    const acquisitionId = randomBytes(16).toString("hex");
    const request = { sessionId: this.#sessionId, holder: HOLDER, ttl: TURN_MS, acquisitionId };
    for (;;) {
      try {
        const options = { timeoutMs: Math.max(1, budget.remaining) };
        return (await this.#caller.call(ACQUIRE_LEASE, request, options)).lease?.token ?? 0n;
      } catch (error) {
        if (!(error instanceof LeaseHeld)) {
          throw error;
        }
        await pause(budget, error);
      }
    }
  }

  /** Send a save. Waits for a while if another program holds the session's lease. */
  async #save(request: Request, budget: Budget): Promise<SaveResponse> {
    const patience = new Budget(Math.max(1, Math.min(budget.remaining, WAIT_MS)));
    for (;;) {
      try {
        return await this.#caller.send(SAVE, request.bytes, budget);
      } catch (error) {
        if (!(error instanceof LeaseLost) || request.leaseToken) {
          throw error;
        }
        await pause(patience, error);
      }
    }
  }

  /** The latest checkpoint, after a save on top of another one was refused. */
  async #nextHead(head: Head, error: LockstitchError, budget: Budget): Promise<Head> {
    if (error instanceof ExpectedLatestMismatch && !this.#options.values?.length) {
      const { latestCheckpointId = "", latestStep = 0n } = error;
      return { checkpointId: latestCheckpointId, step: latestStep, revision: 0n, values: {} };
    }
    const fresh = await this.#loadHead(budget);
    if (error instanceof DeltaRefused && fresh.revision === head.revision) {
      throw error; // the base is the latest checkpoint, and the delta does not fit
    }
    return fresh;
  }

  async #loadHead(budget: Budget): Promise<Head> {
    const names = this.#options.values ?? [];
    const [head, { custom }] = await this.#load(
      names.map((name) => `custom/${name}`),
      budget,
    );
    const values = names.map((name) => [name, custom[name]?.blob] as const).filter(([, blob]) => blob);
    return { ...head, values: Object.fromEntries(values) as BlobValues };
  }

  async #load(channels: string[], budget: Budget): Promise<[Head, VersionedState]> {
    const { namespace = "", header } = this.#options;
    const view = channels.length > 0 ? "FULL" : "HEADER";
    const request = { sessionId: this.#sessionId, namespace, view, channels };
    const options = { timeoutMs: Math.max(1, budget.remaining) };
    const latest = await this.#caller.call(LOAD_LATEST, request, options);
    const found = latest.checkpoint;
    const state = found?.state ?? { custom: {} };
    if (!found) {
      return [NO_HEAD, state];
    }
    if (found.header?.type !== header.type) {
      throw this.#notOurs(
        `the header of its latest checkpoint is of type "${found.header?.type ?? ""}", not "${header.type}"`,
      );
    }
    const { checkpointId, step } = found;
    return [{ checkpointId, step, revision: latest.checkpointRevision, values: {} }, state];
  }

  #request(head: Head, changes: CustomChanges, header: TypedBlob, leaseToken: bigint): Request {
    const { namespace = "", ttlMs } = this.#options;
    const step = head.step + 1n;
    const checkpointId = String(step).padStart(20, "0");
    if (checkpointId <= head.checkpointId) {
      throw this.#notOurs(`its latest checkpoint is "${head.checkpointId}", and "${checkpointId}" would not be later`);
    }
    const version = randomBytes(8).toString("hex");
    const custom = Object.entries(changes.custom ?? {}).map(([name, changed]) => [name, { ...changed, version }]);
    const delta: CustomChanges = { ...changes, custom: Object.fromEntries(custom) };
    const checkpoint = { sessionId: this.#sessionId, namespace, step, parentId: head.checkpointId, header };
    const common = { leaseToken, ttl: ttlMs };
    const bytes = SAVE.request.encode(
      head.checkpointId
        ? {
            ...common,
            checkpoint,
            expectedLatest: { checkpointId: head.checkpointId },
            baseCheckpointId: head.checkpointId,
            baseRevision: head.revision,
            delta,
          }
        : { ...common, checkpoint: { ...checkpoint, state: firstState(delta) }, expectedLatest: { none: true } },
    );
    return { step, leaseToken, bytes };
  }

  #notOurs(why: string): TypeError {
    return new TypeError(`session "${this.#sessionId}" belongs to another program: ${why}; choose another session`);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#underWay += 1;
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#underWay -= 1;
    }
  }
}

/** The error of a save that another program was faster than. */
async function faster(save: Promise<SaveResponse>): Promise<LockstitchError | undefined> {
  try {
    await save;
    return undefined;
  } catch (error) {
    if (error instanceof ExpectedLatestMismatch || error instanceof DeltaRefused) {
      return error;
    }
    throw error;
  }
}

/** Throws the error if there is no time for another attempt. */
function check(budget: Budget, error: LockstitchError): void {
  if (budget.remaining === 0) {
    throw error;
  }
}

/** Before another attempt. Throws the error of the last one if there is no time for another. */
async function pause(budget: Budget, error: LockstitchError): Promise<void> {
  const ms = Math.random() * PAUSE_MS;
  if (budget.remaining <= ms) {
    throw error;
  }
  await budget.sleep(ms);
}

function deltaOf(channel: string, items: readonly TypedBlob[], changed: BlobValues): CustomChanges {
  const values = Object.entries(changed).map(([name, blob]): [string, CustomDelta] => [name, { version: "", blob }]);
  const grown: CustomDelta = { version: "", append: { items: [...items] } };
  return { custom: Object.fromEntries([...values, [channel, grown]]) };
}

/** What a delta makes of no state. */
function firstState({ custom = {} }: CustomChanges): VersionedState {
  const channels = Object.entries(custom).map(([name, { version, blob, list, append }]) => {
    const value = blob ? { blob } : { list: list ?? append ?? { items: [] } };
    return [name, { version, ...value }] as const;
  });
  return { custom: Object.fromEntries(channels) };
}
