/** Single calls over gRPC. What goes wrong is thrown as LockstitchError. */

import {
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
} from "@bufbuild/protobuf";
import { type ClientDuplexStream, connectivityState, Client as GrpcClient, Metadata, status } from "@grpc/grpc-js";
import type { Budget } from "./budget.js";
import {
  type ConnectionOptions,
  callMetadata,
  channelCredentials,
  channelOptions,
  checkSecrecy,
} from "./connection.js";
import {
  asTheServers,
  Cancelled,
  DeadlineExceeded,
  fromFailedCall,
  isFailedCall,
  type LockstitchError,
  NoConnection,
} from "./errors.js";
import { CheckpointService, type SaveStreamResponse } from "./gen/lockstitch/v1/checkpoint_service_pb.js";
import { checkTarget } from "./target.js";
import { inject } from "./tracing.js";

/** A SaveStream: serialized requests go in, answers come out. */
export type SaveStreamCall = ClientDuplexStream<Uint8Array, SaveStreamResponse>;

interface Call {
  cancel(): void;
}

/** How long nothing has to come before a connection is given up. */
const PATIENCE_MS = 1000;

const CONNECT_TIMEOUT_MS = 1500;

/** How long to ask why there is no connection. */
const PROBE_MS = 400;

/** How often those that wait for the first connection look for what may end their wait. */
const LOOK_MS = 50;

const HEALTH_CHECK = "/grpc.health.v1.Health/Check";

/** A grpc.health.v1.HealthCheckResponse whose status is SERVING. */
const SERVING = Buffer.from([0x08, 0x01]);

/** gRPC takes nothing but a Buffer. The bytes are the same, not a copy. */
const asIs = (data: Uint8Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

export class Transport {
  readonly #target: string;
  readonly #options: ConnectionOptions;
  /** Whether calls wait for a connection, instead of failing while there is none. */
  readonly #wait: boolean;
  readonly #connectTimeoutMs: number;
  #channel: GrpcClient;
  #calls = new Set<Call>();
  #lastAnswer = 0;
  #hasConnected = false;
  #closed = false;

  constructor(target: string, options: ConnectionOptions, wait: boolean) {
    this.#target = target;
    this.#options = options;
    this.#wait = wait;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    if (!(this.#connectTimeoutMs > 0)) {
      throw new RangeError("connectTimeoutMs must be above 0");
    }
    checkTarget(target);
    checkSecrecy(target, options);
    callMetadata(options); // throws for what cannot be sent
    this.#channel = this.#connect();
  }

  /**
   * Return when there is a connection, or has ever been one. Throws NoConnection after the time to connect, so that a
   * wrong address is told at the first call.
   */
  async firstConnection(budget?: Budget): Promise<void> {
    const end = performance.now() + Math.min(budget?.remaining ?? Infinity, this.#connectTimeoutMs);
    while (!this.#hasConnected) {
      budget?.check();
      if (this.#closed) {
        throw closed();
      }
      const state = this.#channel.getChannel().getConnectivityState(true);
      if (state === connectivityState.READY) {
        this.#hasConnected = true;
      } else if (performance.now() >= end || (state === connectivityState.TRANSIENT_FAILURE && !this.#wait)) {
        throw this.#noConnection(await this.#refusal());
      } else {
        await this.#changed(state);
      }
    }
  }

  /**
   * What a call that is out of time throws: NoConnection where there is no connection, and the error itself where the
   * server was connected and hangs, even if another call has replaced the connection meanwhile.
   */
  async late(error: DeadlineExceeded): Promise<LockstitchError> {
    if (this.#closed || this.#channel.getChannel().getConnectivityState(false) === connectivityState.READY) {
      return error;
    }
    const refused = await this.#refusal();
    return refused === undefined && this.#hasConnected ? error : this.#noConnection(refused);
  }

  /** One answer to a serialized request. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: Uint8Array,
    budget: Budget,
  ): Promise<MessageShape<O>> {
    this.#check(budget);
    await this.firstConnection(budget);
    return this.#ask(path(method), request, decoder<O>(method.output), budget);
  }

  /** Whether the server says that it serves. */
  async isServing(budget: Budget): Promise<boolean> {
    const answer = await this.#ask(HEALTH_CHECK, new Uint8Array(), asIs, budget);
    return SERVING.equals(answer);
  }

  /** Answers, as they come. Leaving the loop ends the call. `withDeadline`: whether they must all come in time. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: Uint8Array,
    budget: Budget,
    withDeadline = true,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    this.#check(budget);
    await this.firstConnection(budget);
    const begun = performance.now();
    const options = withDeadline ? deadlineOf(budget) : {};
    const decode = decoder<O>(method.output);
    const call = this.#channel.makeServerStreamRequest(path(method), asIs, decode, request, this.#metadata(), options);
    const done = this.#watch(call, budget.signal);
    try {
      for await (const answer of call as AsyncIterable<MessageShape<O>>) {
        this.#lastAnswer = performance.now();
        yield answer;
      }
    } catch (error) {
      throw await this.#failure(error, begun, budget.signal);
    } finally {
      call.on("error", () => {}); // it may end with CANCELLED once nobody listens any more
      call.cancel();
      done();
    }
  }

  /** Begin a SaveStream. It has no deadline: each save has its own. */
  openSaveStream(): SaveStreamCall {
    const method = CheckpointService.method.saveStream;
    const decode = decoder<typeof method.output>(method.output);
    const call = this.#channel.makeBidiStreamRequest(path(method), asIs, decode, this.#metadata());
    call.on("data", () => {
      this.#lastAnswer = performance.now();
    });
    call.on("error", this.#watch(call));
    call.on("end", this.#watch(call));
    return call;
  }

  /**
   * Connect anew, if nothing has come since then, which is a while ago: the server, or the way to it, may be gone without
   * a word. Whether it does.
   */
  renew(since: number): boolean {
    const now = performance.now();
    if (this.#closed || this.#lastAnswer > since || now - since < PATIENCE_MS) {
      return false;
    }
    this.#lastAnswer = now; // one new connection is enough for all that notice
    const old = this.#channel;
    this.#channel = this.#connect();
    old.close(); // calls that are under way go on
    return true;
  }

  /** End running calls, which fail with Cancelled, and the connection. May be repeated. */
  close(): void {
    this.#closed = true;
    for (const call of this.#calls) {
      call.cancel();
    }
    this.#channel.close();
  }

  async #ask<T>(where: string, request: Uint8Array, decode: (data: Buffer) => T, budget: Budget): Promise<T> {
    this.#check(budget);
    const begun = performance.now();
    let ended = () => {};
    try {
      const answer = await new Promise<T>((resolve, reject) => {
        const finish = (error: Error | null, answer?: T) => (error ? reject(error) : resolve(answer as T));
        const [metadata, options] = [this.#metadata(), deadlineOf(budget)];
        const call = this.#channel.makeUnaryRequest(where, asIs, decode, request, metadata, options, finish);
        ended = this.#watch(call, budget.signal);
      });
      this.#lastAnswer = performance.now();
      this.#hasConnected = true;
      return answer;
    } catch (error) {
      throw await this.#failure(error, begun, budget.signal);
    } finally {
      ended();
    }
  }

  /** Cancel the call when the signal says so or the client is closed. The result is to be called when it has ended. */
  #watch(call: Call, signal?: AbortSignal): () => void {
    const cancel = () => call.cancel();
    this.#calls.add(call);
    signal?.addEventListener("abort", cancel);
    return () => {
      this.#calls.delete(call);
      signal?.removeEventListener("abort", cancel);
    };
  }

  async #failure(error: unknown, begun: number, signal: AbortSignal | undefined): Promise<unknown> {
    if (!isFailedCall(error)) {
      return error;
    }
    const failure = fromFailedCall(error);
    if (failure instanceof DeadlineExceeded) {
      const told = await this.late(failure);
      this.renew(begun);
      return told;
    }
    return signal?.aborted || this.#closed ? failure : asTheServers(failure);
  }

  /** Why there is no connection, which gRPC tells only to a call that does not wait. Undefined where nothing answers. */
  #refusal(): Promise<string | undefined> {
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + PROBE_MS };
      this.#channel.makeUnaryRequest(HEALTH_CHECK, asIs, asIs, new Uint8Array(), new Metadata(), options, (error) => {
        resolve(error?.code === status.UNAVAILABLE ? error.details : undefined);
      });
    });
  }

  #noConnection(cause = "nothing answers there"): NoConnection {
    return new NoConnection(`no connection to ${this.#target}: ${cause}`, { code: "UNAVAILABLE" });
  }

  /** Wait until the state is another one, and not for long: a signal or `close` may end the wait. */
  #changed(state: connectivityState): Promise<void> {
    return new Promise((resolve) => {
      this.#channel.getChannel().watchConnectivityState(state, Date.now() + LOOK_MS, () => resolve());
    });
  }

  #metadata(): Metadata {
    const metadata = new Metadata({ waitForReady: this.#wait });
    metadata.merge(callMetadata(this.#options));
    inject(metadata);
    return metadata;
  }

  #check(budget: Budget): void {
    budget.check();
    if (this.#closed) {
      throw closed();
    }
  }

  #connect(): GrpcClient {
    return new GrpcClient(this.#target, channelCredentials(this.#options), channelOptions(this.#target, this.#options));
  }
}

export function closed(): Cancelled {
  return new Cancelled("the client was closed", { code: "CANCELLED" });
}

function path(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function deadlineOf(budget: Budget): { deadline: number } {
  return { deadline: Date.now() + budget.remaining };
}

function decoder<O extends DescMessage>(schema: O): (data: Buffer) => MessageShape<O> {
  // Not as a Buffer: what is cut from one is a Buffer, too.
  return (data) => fromBinary(schema, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
