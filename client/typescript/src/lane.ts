/** Saves of some sessions, over one SaveStream after the other. */

import { onAbort } from "./abort.js";
import { type Budget, cancelled, outOfTime } from "./budget.js";
import {
  copyOf,
  type DeadlineExceeded,
  fromStatus,
  Internal,
  LockstitchError,
  PermissionDenied,
  Unauthenticated,
  Unavailable,
  Unimplemented,
} from "./errors.js";
import { type Item, Outbox } from "./outbox.js";
import { backoff, pauseAfter, type RetryPolicy } from "./retry.js";
import { SaveStream } from "./save_stream.js";
import { currentContext } from "./tracing.js";
import { closed, type SaveStreamCall } from "./transport.js";
import type { SaveResponse, SaveStreamResponse } from "./wire/methods.js";

/** What a lane needs to make calls, and whom it tells how streams fare. */
export interface LaneCalls {
  /** Throws NoConnection where there has never been a connection, and is none. */
  openStream(): Promise<SaveStreamCall>;
  /** What a save that is out of time fails with. */
  late(error: DeadlineExceeded, budget: Budget): Promise<LockstitchError>;
  /** Save by a call of its own. */
  saveAlone(request: Uint8Array, budget: Budget): Promise<SaveResponse>;
  /** A save was answered. */
  streamsWork(): void;
  /** There are no streams here. `unlessKnown`: unless one has brought an answer before. */
  avoidStreams(unlessKnown: boolean): void;
}

/** A stream that has brought nothing for this part of the time of a save is given up when the save's time is up. */
const SILENT_SHARE = 0.5;

/**
 * Sends saves in their order, and what has no answer when a stream ends once more on the next.
 *
 * retry: how saves are repeated; undefined: what has no answer when a stream ends gets one call of its own.
 */
export class Lane {
  readonly #calls: LaneCalls;
  readonly #retry: RetryPolicy | undefined;
  readonly #outbox = new Outbox();
  #number = 0n;
  #stream: SaveStream | undefined;
  #running = false;
  #closed = false;
  #alarm: NodeJS.Timeout | undefined; // one for all deadlines, not after the first of them
  #alarmAt = Infinity;
  #failures = 0; // streams in a row that have brought nothing
  #fault: LockstitchError | undefined; // what has gone wrong since the last answer

  constructor(calls: LaneCalls, retry: RetryPolicy | undefined) {
    this.#calls = calls;
    this.#retry = retry;
  }

  /** The answer to a serialized SaveRequest. */
  save(request: Uint8Array, sessionId: string, budget: Budget): Promise<SaveResponse> {
    return new Promise((succeed, fail) => {
      this.#number += 1n;
      const number = this.#number;
      const traceContext = currentContext();
      const state = { sent: false, refusals: 0, forget: () => {} };
      const item: Item = { number, sessionId, request, traceContext, budget, ...state, succeed, fail };
      item.forget = onAbort(budget.signal, () => this.#fail(item, cancelled(budget.signal?.reason)));
      this.#outbox.add(item);
      if (budget.end < this.#alarmAt) {
        this.#setAlarm(budget.end);
      }
      this.#wake();
    });
  }

  /** Fail whatever waits with Cancelled. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#alarm);
    this.#failAll(closed());
    this.#stream?.drop();
  }

  #wake(): void {
    if (this.#running) {
      this.#stream?.wake();
    } else {
      this.#running = true;
      void this.#run();
    }
  }

  async #run(): Promise<void> {
    try {
      while (this.#outbox.waiting.size > 0 && !this.#closed) {
        await this.#useStream();
      }
    } catch (error) {
      this.#failAll(error);
    } finally {
      this.#running = false;
    }
  }

  /** Open a stream, and use it until it ends. */
  async #useStream(): Promise<void> {
    this.#failures += 1;
    this.#outbox.restart();
    this.#stream = new SaveStream(await this.#calls.openStream(), this.#outbox, (answer) => this.#answered(answer));
    const fault = await this.#stream.ended;
    this.#stream = undefined;
    this.#fault = fault ?? this.#fault;
    if (this.#outbox.waiting.size > 0 && !this.#closed) {
      await this.#recover(fault);
    }
  }

  #answered({ requestId, saved, error }: SaveStreamResponse): void {
    this.#failures = 0;
    this.#fault = undefined;
    this.#calls.streamsWork();
    const item = this.#outbox.waiting.get(requestId);
    if (item === undefined) {
      return; // nobody waits for it any more
    }
    if (saved !== undefined) {
      this.#outbox.remove(item);
      item.succeed(saved);
    } else if (error !== undefined) {
      this.#refused(item, fromStatus(error));
    } else {
      this.#fail(item, new Internal("an answer without a result", { code: "INTERNAL" }));
    }
  }

  /** Fail, or send it again later, and what of its session has not gone out after it. */
  #refused(item: Item, error: LockstitchError): void {
    item.refusals += 1;
    const pause = pauseAfter(error, this.#retry, item.refusals);
    if (pause === undefined || pause >= item.budget.remaining) {
      this.#fail(item, error);
      return;
    }
    this.#fault = error;
    if (this.#outbox.hold(item)) {
      setTimeout(() => {
        this.#outbox.release(item.sessionId);
        if (this.#outbox.waiting.size > 0 && !this.#closed) {
          this.#wake();
        }
      }, pause);
    }
  }

  /** Do what is to be done before the next stream. `fault`: how the last one ended. */
  async #recover(fault: LockstitchError | undefined): Promise<void> {
    if (fault instanceof Unimplemented) {
      this.#calls.avoidStreams(false);
    }
    const barren = this.#failures > 0;
    if (fault instanceof Unauthenticated || fault instanceof PermissionDenied) {
      this.#failAll(fault);
    } else if (this.#retry === undefined || (barren && fault && !(fault instanceof Unavailable))) {
      await this.#saveAlone();
    } else if (barren) {
      await new Promise((resolve) => setTimeout(resolve, backoff(this.#retry as RetryPolicy, this.#failures)));
    }
  }

  /** Save by calls of their own, so that whichever ended the stream gets its own error. One by one: in order. */
  async #saveAlone(): Promise<void> {
    const sent = this.#outbox.sent();
    for (const item of sent.length > 0 ? sent : [...this.#outbox.waiting.values()]) {
      if (this.#outbox.waiting.has(item.number)) {
        await this.#calls.saveAlone(item.request, item.budget).then(item.succeed, item.fail);
        this.#outbox.remove(item);
      }
    }
  }

  #setAlarm(when: number): void {
    clearTimeout(this.#alarm);
    this.#alarmAt = when;
    this.#alarm = setTimeout(() => this.#expireDue(), Math.max(1, when - performance.now()));
  }

  #expireDue(): void {
    this.#alarmAt = Infinity;
    const [due, next] = this.#outbox.due(performance.now());
    for (const item of due) {
      this.#expire(item);
    }
    if (next < this.#alarmAt) {
      this.#setAlarm(next);
    }
  }

  #expire(item: Item): void {
    this.#outbox.remove(item);
    void this.#calls.late(outOfTime(this.#fault), item.budget).then(item.fail);
    if (!item.sent) {
      return;
    }
    this.#calls.avoidStreams(true); // there may be a proxy that waits for the end of the stream
    const stream = this.#stream;
    if (stream && (!this.#outbox.hasSent || stream.silence >= item.budget.totalMs * SILENT_SHARE)) {
      stream.drop(); // it may be stuck: others continue over the next one
    }
  }

  #fail(item: Item, error: unknown): void {
    this.#outbox.remove(item);
    item.fail(error);
  }

  #failAll(error: unknown): void {
    for (const item of this.#outbox.waiting.values()) {
      this.#fail(item, error instanceof LockstitchError ? copyOf(error) : error);
    }
  }
}
