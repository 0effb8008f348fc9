/** Calls that are repeated while there is time. */

import { Budget, type CallOptions, outOfTime } from "./budget.js";
import { DeadlineExceeded, forCaller, Unavailable } from "./errors.js";
import { pauseAfter, type RetryPolicy } from "./retry.js";
import type { Transport } from "./transport.js";
import type { Method } from "./wire/methods.js";

export class Caller {
  readonly transport: Transport;
  readonly retry: RetryPolicy | undefined;
  readonly timeoutMs: number;

  constructor(transport: Transport, retry: RetryPolicy | undefined, timeoutMs: number) {
    this.transport = transport;
    this.retry = retry;
    this.timeoutMs = timeoutMs;
  }

  budget(options: CallOptions | undefined): Budget {
    return new Budget(this.timeoutMs, options);
  }

  /** One answer. */
  async call<I extends object, O extends object>(
    method: Method<I, O>,
    request: I,
    options: CallOptions | undefined,
  ): Promise<O> {
    const bytes = method.request.encode(request);
    const budget = this.budget(options);
    try {
      return await this.send(method, bytes, budget);
    } catch (error) {
      throw forCaller(error, this.call);
    }
  }

  /** One answer to a serialized request. */
  async send<I extends object, O extends object>(
    method: Method<I, O>,
    request: Uint8Array,
    budget: Budget,
  ): Promise<O> {
    let fault: unknown;
    for (let failures = 1; ; failures++) {
      try {
        return await this.transport.unary(method, request, budget);
      } catch (error) {
        const pause = pauseAfter(error, this.retry, failures);
        if (pause === undefined || pause >= budget.remaining) {
          throw error instanceof DeadlineExceeded && fault ? outOfTime(fault) : error;
        }
        fault = error;
        await budget.sleep(pause);
      }
    }
  }

  /**
   * What the attempts give, as long as one of them brings something within the time of a call: a stream that breaks off
   * is continued by the next attempt. A reader who takes his time outlasts a deadline, too.
   */
  async *resumed<T>(
    attempt: (budget: Budget) => AsyncGenerator<T, void, undefined>,
    options: CallOptions | undefined,
  ): AsyncGenerator<T, void, undefined> {
    let budget = this.budget(options);
    for (let failures = 1; ; failures++) {
      let brought = false;
      try {
        for await (const item of attempt(budget)) {
          brought = true;
          yield item;
        }
        return;
      } catch (error) {
        if (brought && (error instanceof Unavailable || error instanceof DeadlineExceeded)) {
          budget = this.budget(options);
          failures = 0;
        }
        const pause = error instanceof DeadlineExceeded && brought ? 0 : pauseAfter(error, this.retry, failures || 1);
        if (pause === undefined || pause >= budget.remaining) {
          throw error;
        }
        await budget.sleep(pause);
      }
    }
  }

  /** A stream of answers that all come in time. */
  stream<I extends object, O extends object>(
    method: Method<I, O>,
    request: I,
    budget: Budget,
  ): AsyncGenerator<O, void, undefined> {
    return this.transport.stream(method, method.request.encode(request), budget);
  }
}
