/** One SaveStream call, from its beginning to its end. */

import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { asTheServers, fromFailedCall, Internal, isFailedCall, type LockstitchError } from "./errors.js";
import { SaveStreamRequestSchema, type SaveStreamResponse } from "./gen/lockstitch/v1/checkpoint_service_pb.js";
import type { Item, Outbox } from "./outbox.js";
import type { SaveStreamCall } from "./transport.js";

/** A stream that nobody uses is closed after this time, or twice this time at most. */
const IDLE_MS = 5000;
/** How long a stream is used, so that clients that run for long spread over the servers that there are by then. */
const STREAM_MS = 300_000;

const SAVE = 2;

/** Sends what the outbox gives, and hands the answers on. */
export class SaveStream {
  /** How the call has ended, unless the client was closed: with an error, or in peace. */
  readonly ended: Promise<LockstitchError | undefined>;
  readonly #call: SaveStreamCall;
  readonly #outbox: Outbox;
  #used = true;
  #blocked = false;
  #closing = false;
  #dropped = false;

  constructor(call: SaveStreamCall, outbox: Outbox, answered: (answer: SaveStreamResponse) => void) {
    this.#call = call;
    this.#outbox = outbox;
    call.on("data", answered);
    call.on("drain", () => {
      this.#blocked = false;
      this.wake();
    });
    const watch = this.#watch();
    this.ended = this.#end().finally(() => clearInterval(watch));
    this.wake();
  }

  /** There may be something in the outbox. Send it, as long as the connection takes it. */
  wake(): void {
    while (!this.#blocked && !this.#closing) {
      const item = this.#outbox.take();
      if (item === undefined) {
        return;
      }
      this.#used = true;
      this.#blocked = !this.#call.write(message(item));
    }
  }

  /** Have the call end as soon as what has been sent is answered; send nothing more. */
  finish(): void {
    if (!this.#closing) {
      this.#closing = true;
      this.#call.end();
    }
  }

  /** End the call at once, as if it had ended in peace. */
  drop(): void {
    this.#dropped = true;
    this.#call.cancel();
  }

  #end(): Promise<LockstitchError | undefined> {
    return new Promise((resolve) => {
      this.#call.on("end", () => resolve(undefined));
      this.#call.on("error", (error) => {
        this.#closing = true;
        if (this.#dropped) {
          resolve(undefined);
        } else if (isFailedCall(error)) {
          resolve(asTheServers(fromFailedCall(error)));
        } else {
          resolve(new Internal(String(error), { code: "INTERNAL" }));
        }
      });
    });
  }

  /** Have the call end when it is idle or old. */
  #watch(): NodeJS.Timeout {
    const until = performance.now() + STREAM_MS;
    const timer = setInterval(() => {
      const idle = !this.#used && this.#outbox.waiting.size === 0;
      if (idle || performance.now() > until) {
        this.finish();
      }
      this.#used = false;
    }, IDLE_MS);
    return timer.unref();
  }
}

/** The SaveStreamRequest. */
function message(item: Item): Uint8Array {
  const { number: requestId, traceContext } = item;
  const numbered = toBinary(SaveStreamRequestSchema, create(SaveStreamRequestSchema, { requestId, traceContext }));
  return new BinaryWriter().raw(numbered).tag(SAVE, WireType.LengthDelimited).bytes(item.request).finish();
}
