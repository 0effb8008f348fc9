/** Following a session, over one call after the other. */

import type { SessionEvent } from "./answers.js";
import { Budget, type CallOptions, outOfTime } from "./budget.js";
import type { Caller } from "./caller.js";
import { Cancelled, Unavailable } from "./errors.js";
import { eventOf } from "./wire/answers.js";
import { WATCH_SESSION } from "./wire/methods.js";

export interface WatchOptions extends CallOptions {
  /** The last `resumeToken` that was given. Default: only what happens from now on. */
  resumeToken?: string | undefined;
  /** How often a heartbeat comes while nothing happens, 1000 to 3,600,000. Default: 10,000. */
  heartbeatMs?: number | undefined;
}

const HEARTBEAT_MS = 10_000;
/** A call that is silent for this many heartbeats is dead. */
const SILENT_HEARTBEATS = 3;

/**
 * @internal What has happened since the token, then what happens. A call that breaks off or falls silent is made again with the
 * last token, for as long as a call may take.
 */
export function watch(
  caller: Caller,
  sessionId: string,
  options: WatchOptions = {},
): AsyncGenerator<SessionEvent, void, undefined> {
  const heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
  let resumeToken = options.resumeToken ?? "";

  async function* goOn(budget: Budget): AsyncGenerator<SessionEvent, void, undefined> {
    const bytes = WATCH_SESSION.request.encode({ sessionId, resumeToken, heartbeat: heartbeatMs });
    const dog = new Watchdog(budget, Math.min(budget.remaining, SILENT_HEARTBEATS * heartbeatMs));
    try {
      for await (const answer of caller.transport.stream(WATCH_SESSION, bytes, dog.budget, false)) {
        dog.rest();
        resumeToken = answer.resumeToken;
        yield eventOf(answer);
        dog.begin(SILENT_HEARTBEATS * heartbeatMs);
      }
    } catch (error) {
      throw dog.explained(error);
    } finally {
      dog.rest();
    }
    throw new Unavailable("the server has ended the call", { code: "UNAVAILABLE" });
  }

  return caller.resumed(goOn, options);
}

/** Ends a call that has been silent for too long. It does not count the time that the reader takes. */
class Watchdog {
  readonly budget: Budget;
  readonly #silence = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(budget: Budget, firstMs: number) {
    const signals = [this.#silence.signal, ...(budget.signal ? [budget.signal] : [])];
    this.budget = new Budget(Math.max(1, budget.remaining), { signal: AbortSignal.any(signals) });
    this.begin(firstMs);
  }

  begin(ms: number): void {
    this.rest();
    this.#timer = setTimeout(() => this.#silence.abort(), ms);
  }

  rest(): void {
    clearTimeout(this.#timer);
  }

  /** What the end of the call means. */
  explained(error: unknown): unknown {
    return error instanceof Cancelled && this.#silence.signal.aborted ? outOfTime(error) : error;
  }
}
