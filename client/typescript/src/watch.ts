/** Following a session, over one call after the other. */

import { create } from "@bufbuild/protobuf";
import { Budget, type CallOptions, outOfTime } from "./budget.js";
import type { Caller } from "./caller.js";
import { Cancelled, Unavailable } from "./errors.js";
import {
  SessionService,
  WatchSessionRequestSchema,
  type WatchSessionResponse,
} from "./gen/lockstitch/v1/session_service_pb.js";
import { serialized } from "./validity.js";
import { duration } from "./values.js";

export interface WatchOptions extends CallOptions {
  /** The last `resumeToken` that was given. Default: only what happens from now on. */
  resumeToken?: string | undefined;
  /** How often a heartbeat comes while nothing happens, 1000 to 3,600,000. Default: 10,000. */
  heartbeatMs?: number | undefined;
}

const HEARTBEAT_MS = 10_000;
/** A call that is silent for so many heartbeats is dead. */
const SILENT_HEARTBEATS = 3;

/**
 * What has happened since the token, then what happens. A call that breaks off or falls silent is made again with the
 * last token, for as long as a call may take.
 */
export function watch(
  caller: Caller,
  sessionId: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchSessionResponse, void, undefined> {
  const request = create(WatchSessionRequestSchema, { sessionId, resumeToken: options.resumeToken ?? "" });
  const heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
  request.heartbeat = duration(heartbeatMs);

  async function* goOn(budget: Budget): AsyncGenerator<WatchSessionResponse, void, undefined> {
    const bytes = serialized(WatchSessionRequestSchema, request);
    const dog = new Watchdog(budget, Math.min(budget.remaining, SILENT_HEARTBEATS * heartbeatMs));
    try {
      for await (const answer of caller.transport.stream(
        SessionService.method.watchSession,
        bytes,
        dog.budget,
        false,
      )) {
        dog.rest();
        request.resumeToken = answer.resumeToken;
        yield answer;
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
