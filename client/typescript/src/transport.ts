/** Single calls over gRPC. What goes wrong is thrown as LockstitchError. */

import { type ClientDuplexStream, connectivityState, Client as GrpcClient, type Metadata } from "@grpc/grpc-js";
import { type Budget, outOfTime } from "./budget.js";
import {
  bearer,
  type ConnectionOptions,
  callMetadata,
  channelCredentials,
  channelOptions,
  checkSecrecy,
  secureContext,
} from "./connection.js";
import {
  asTheServers,
  Cancelled,
  DeadlineExceeded,
  fromFailedCall,
  isFailedCall,
  LockstitchError,
  NoConnection,
  Unauthenticated,
} from "./errors.js";
import { asIs, HEALTH_CHECK, Link, silent } from "./link.js";
import { certificateRefusal, explained, type Refusal } from "./refusal.js";
import { type Endpoint, endpointOf } from "./target.js";
import { inject } from "./tracing.js";
import { type Method, SAVE_STREAM, type SaveStreamResponse } from "./wire/methods.js";

/** A SaveStream: serialized requests go in, answers come out. */
export type SaveStreamCall = ClientDuplexStream<Uint8Array, SaveStreamResponse>;

/** A connection over which nothing has come for this part of the time of a call that got no answer is suspected. */
const SILENT_SHARE = 0.5;

const CONNECT_TIMEOUT_MS = 1500;

/** How often those that wait for the first connection look for what may end their wait. */
const LOOK_MS = 50;

/** Time that a call needs to begin. gRPC's deadlines are counted by a clock of whole milliseconds. */
const LEAST_MS = 1;

/** A grpc.health.v1.HealthCheckResponse whose status is SERVING. */
const SERVING = Buffer.from([0x08, 0x01]);

export class Transport {
  readonly #endpoint: Endpoint;
  readonly #options: ConnectionOptions;
  /** Whether calls wait for a connection, instead of failing while there is none. */
  readonly #wait: boolean;
  readonly #connectTimeoutMs: number;
  /** What goes with every call. */
  readonly #base: Metadata;
  #link: Link;
  #hasConnected = false;
  #closed = false;

  constructor(target: string, options: ConnectionOptions, wait: boolean) {
    const { tls } = options;
    this.#endpoint = endpointOf(target, tls === undefined ? undefined : tls !== false);
    this.#options = options;
    this.#wait = wait;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    if (!(this.#connectTimeoutMs > 0)) {
      throw new RangeError("connectTimeoutMs must be above 0");
    }
    checkSecrecy(this.#endpoint, options);
    this.#base = callMetadata(options);
    this.#link = this.#connect();
  }

  /**
   * Return when there is a connection, or has ever been one. Throws NoConnection after the time to connect, so that a
   * wrong address is reported at the first call.
   */
  async firstConnection(budget?: Budget): Promise<void> {
    const end = performance.now() + Math.min(budget?.remaining ?? Infinity, this.#connectTimeoutMs);
    let hasAsked = false;
    while (!this.#hasConnected) {
      budget?.check();
      if (this.#closed) {
        throw closed();
      }
      const state = this.#link.state(true);
      if (state === connectivityState.READY) {
        this.#hasConnected = true;
      } else if (performance.now() >= end || (state === connectivityState.TRANSIENT_FAILURE && !hasAsked)) {
        hasAsked = true;
        const refusal = await this.#refusal();
        if (refusal.isFinal || !this.#wait || performance.now() >= end) {
          throw this.#noConnection(refusal);
        }
      } else {
        await this.#changed(state);
      }
    }
  }

  /**
   * What a call that is out of time throws: NoConnection where there is no connection, and the error itself where the
   * server was connected and hangs. A connection that has gone silent is replaced.
   */
  async late(error: DeadlineExceeded, budget: Budget): Promise<LockstitchError> {
    const link = this.#link;
    if (this.#closed || link.isReady) {
      void this.#renewIfSilent(link, budget.totalMs * SILENT_SHARE);
      return error;
    }
    const told = await link.refusal();
    return told === undefined && this.#hasConnected ? error : this.#noConnection(explained(told));
  }

  /** One answer to a serialized request. */
  async unary<I extends object, O extends object>(
    method: Method<I, O>,
    request: Uint8Array,
    budget: Budget,
  ): Promise<O> {
    this.#check(budget);
    await this.firstConnection(budget);
    return this.#ask(method.path, request, method.decode, budget);
  }

  /** Whether the server says that it serves. */
  async isServing(budget: Budget): Promise<boolean> {
    const answer = await this.#ask(HEALTH_CHECK, new Uint8Array(), asIs, budget);
    return SERVING.equals(answer);
  }

  /** Answers, as they come. Leaving the loop ends the call. `withDeadline`: whether they must all come in time. */
  async *stream<I extends object, O extends object>(
    method: Method<I, O>,
    request: Uint8Array,
    budget: Budget,
    withDeadline = true,
  ): AsyncGenerator<O, void, undefined> {
    this.#check(budget);
    await this.firstConnection(budget);
    const metadata = await this.#metadata(budget);
    if (withDeadline && isTooLate(budget)) {
      throw await this.late(outOfTime(), budget);
    }
    const options = withDeadline ? deadlineOf(budget) : {};
    const link = this.#link;
    const { path, decode } = method;
    const call = link.channel.makeServerStreamRequest(path, asIs, decode, request, metadata, options);
    const done = link.watch(call, budget.signal);
    try {
      for await (const answer of call as AsyncIterable<O>) {
        link.hear();
        yield answer;
      }
    } catch (error) {
      throw await this.#failure(error, link, budget);
    } finally {
      call.on("error", () => {}); // it may end with CANCELLED once nobody listens any more
      call.cancel();
      done();
    }
  }

  /** Begin a SaveStream. It has no deadline: each save has its own. `budget`: of what comes before it. */
  async openSaveStream(budget: Budget): Promise<SaveStreamCall> {
    const metadata = await this.#metadata(budget);
    const link = this.#link;
    const call = link.channel.makeBidiStreamRequest(SAVE_STREAM.path, asIs, SAVE_STREAM.decode, metadata);
    const done = link.watch(call);
    call.on("data", () => link.hear());
    call.on("error", done);
    call.on("end", done);
    return call;
  }

  /** End running calls, which fail with Cancelled, and the connection. May be repeated. */
  close(): void {
    this.#closed = true;
    this.#link.end();
  }

  async #ask<T>(where: string, request: Uint8Array, decode: (data: Buffer) => T, budget: Budget): Promise<T> {
    this.#check(budget);
    const metadata = await this.#metadata(budget);
    if (isTooLate(budget)) {
      throw await this.late(outOfTime(), budget);
    }
    const link = this.#link;
    let ended = () => {};
    try {
      const answer = await new Promise<T>((resolve, reject) => {
        const finish = (error: Error | null, answer?: T) => (error ? reject(error) : resolve(answer as T));
        const options = deadlineOf(budget);
        const call = link.channel.makeUnaryRequest(where, asIs, decode, request, metadata, options, finish);
        ended = link.watch(call, budget.signal);
      });
      link.hear();
      this.#hasConnected = true;
      return answer;
    } catch (error) {
      throw await this.#failure(error, link, budget);
    } finally {
      ended();
    }
  }

  async #failure(error: unknown, link: Link, budget: Budget): Promise<unknown> {
    if (!isFailedCall(error)) {
      return error;
    }
    const failure = fromFailedCall(error);
    if (failure.reason) {
      link.hear(); // only a server gives one
    }
    if (failure instanceof DeadlineExceeded) {
      return this.late(failure, budget);
    }
    if (!(failure instanceof Cancelled) || budget.signal?.aborted || this.#closed) {
      return failure;
    }
    return link.hasEnded ? silent() : asTheServers(failure);
  }

  /** Open another connection, and end the calls on this one, which are sent again. */
  async #renewIfSilent(link: Link, ms: number): Promise<void> {
    if ((await link.isSilent(ms)) && link === this.#link && !this.#closed) {
      this.#link = this.#connect();
      link.end();
    }
  }

  /** Why there is no connection. */
  async #refusal(): Promise<Refusal> {
    const refusal = explained(await this.#link.refusal());
    const { tls } = this.#options;
    if (refusal.isFinal || !this.#endpoint.isTls) {
      return refusal;
    }
    const { cert, serverName } = typeof tls === "object" ? tls : {};
    const known = { serverName, hasCertificate: cert !== undefined };
    return (await certificateRefusal(this.#endpoint.address, secureContext(this.#options), known)) ?? refusal;
  }

  #noConnection({ text }: Refusal): NoConnection {
    return new NoConnection(`no connection to ${this.#endpoint.address}: ${text}`, { code: "UNAVAILABLE" });
  }

  /** Wait until the state is another one, and not for long: a signal or `close` may end the wait. */
  #changed(state: connectivityState): Promise<void> {
    return new Promise((resolve) => {
      this.#link.channel.getChannel().watchConnectivityState(state, Date.now() + LOOK_MS, () => resolve());
    });
  }

  /** What goes with a call. `budget`: of the time that a function may take that gives the key. */
  async #metadata(budget: Budget): Promise<Metadata> {
    const metadata = this.#base.clone();
    metadata.setOptions({ waitForReady: this.#wait });
    inject(metadata);
    const { apiKey } = this.#options;
    if (typeof apiKey === "function") {
      metadata.set("authorization", await askedFor(apiKey, budget));
    }
    return metadata;
  }

  #check(budget: Budget): void {
    budget.check();
    if (this.#closed) {
      throw closed();
    }
  }

  #connect(): Link {
    const { address } = this.#endpoint;
    const options = channelOptions(address, this.#options);
    return new Link(new GrpcClient(address, channelCredentials(this.#endpoint, this.#options), options));
  }
}

export function closed(): Cancelled {
  return new Cancelled("the client was closed", { code: "CANCELLED" });
}

/** The header with a key from a function. Throws Unauthenticated, which does not show the key. */
async function askedFor(source: () => string | Promise<string>, budget: Budget): Promise<string> {
  let header = "";
  const asked = (async () => {
    header = bearer(await source());
  })();
  try {
    await budget.until(asked);
  } catch (error) {
    if (error instanceof LockstitchError) {
      throw error;
    }
    const told = `the function apiKey gave no key: ${(error as Error).message}`;
    throw new Unauthenticated(told, { code: "UNAUTHENTICATED", cause: error });
  }
  return header;
}

/**
 * Whether no time is left for a call. grpc-js must not be asked for one then: it reports the deadline before it has set the
 * call up, goes on to set it up all the same, and keeps it and its message until there is a connection.
 */
function isTooLate(budget: Budget): boolean {
  return budget.remaining < LEAST_MS;
}

function deadlineOf(budget: Budget): { deadline: number } {
  return { deadline: Date.now() + budget.remaining };
}
