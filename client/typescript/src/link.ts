/** A channel, the calls on it, and how long nothing has come over it. */

import { connectivityState, type Client as GrpcClient, Metadata, status } from "@grpc/grpc-js";
import { onAbort } from "./abort.js";
import { Unavailable } from "./errors.js";

export interface Call {
  cancel(): void;
}

export const HEALTH_CHECK = "/grpc.health.v1.Health/Check";

/** How long a question takes at most that tells whether anything comes over a connection, or why there is none. */
const PROBE_MS = 400;
/** A channel is replaced at most this often: a server that is busy for a moment is not called again and again. */
const RENEW_MS = 3000;

/** gRPC takes nothing but a Buffer. The bytes are the same, not a copy. */
export const asIs = (data: Uint8Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

export class Link {
  readonly channel: GrpcClient;
  readonly #calls = new Set<Call>();
  readonly #opened = performance.now();
  #heard = this.#opened;
  #probing: Promise<boolean> | undefined;
  #hasEnded = false;

  constructor(channel: GrpcClient) {
    this.channel = channel;
  }

  get isReady(): boolean {
    return this.state(false) === connectivityState.READY;
  }

  /** Whether it was replaced or closed: its calls were cancelled. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  state(connect: boolean): connectivityState {
    return this.channel.getChannel().getConnectivityState(connect);
  }

  /** Something came. */
  hear(): void {
    this.#heard = performance.now();
  }

  /** Cancel the call when the signal says so or the link ends. The result is to be called when the call has ended. */
  watch(call: Call, signal?: AbortSignal): () => void {
    this.#calls.add(call);
    const forget = onAbort(signal, () => call.cancel());
    return () => {
      this.#calls.delete(call);
      forget();
    };
  }

  /**
   * Whether nothing has come for so long, and nothing comes now. Only of a connection: where there is none, gRPC opens the
   * next one.
   */
  async isSilent(ms: number): Promise<boolean> {
    const now = performance.now();
    const isSuspect = now - this.#heard >= ms && now - this.#opened >= Math.min(ms, RENEW_MS);
    if (!isSuspect || this.#hasEnded || !this.isReady) {
      return false;
    }
    this.#probing ??= this.#answers().finally(() => {
      this.#probing = undefined;
    });
    return !(await this.#probing);
  }

  /** End the calls and the channel. */
  end(): void {
    this.#hasEnded = true;
    for (const call of this.#calls) {
      call.cancel();
    }
    this.channel.close();
  }

  /** Why there is no connection, which gRPC tells only to a call that does not wait. undefined: nothing answers. */
  async refusal(): Promise<string | undefined> {
    const error = await this.#ask();
    return error?.code === status.UNAVAILABLE ? error.details : undefined;
  }

  async #answers(): Promise<boolean> {
    const error = await this.#ask();
    if (error?.code === status.DEADLINE_EXCEEDED) {
      return false;
    }
    this.hear();
    return true;
  }

  #ask(): Promise<{ code: status; details: string } | undefined> {
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + PROBE_MS };
      this.channel.makeUnaryRequest(HEALTH_CHECK, asIs, asIs, new Uint8Array(), new Metadata(), options, (error) => {
        resolve(error ?? undefined);
      });
    });
  }
}

/** The error of calls on a connection that was replaced. They can be repeated on the next one. */
export function silent(): Unavailable {
  return new Unavailable("nothing came over the connection", { code: "UNAVAILABLE" });
}
