/** One SaveStream call, from its beginning to its end. */

import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { asTheServers, fromFailedCall, Internal, isFailedCall, type LockstitchError } from "./errors.js";
import type { Item, Outbox } from "./outbox.js";
import type { SaveStreamCall } from "./transport.js";
import { written } from "./wire/codec.js";
import { SAVE_STREAM, type SaveStreamResponse } from "./wire/methods.js";

/** A stream that nobody uses is closed after this time, or twice this time at most. */
const IDLE_MS = 5000;
/** How long a stream is used, so that clients that run for long spread over the servers that there are by then. */
const STREAM_MS = 300_000;

/** What goes in one message at most, unless a single save is larger. */
const BATCH_SAVES = 64;
const BATCH_BYTES = 256 * 1024;

/** Field numbers of SaveStreamRequest. */
const SAVE = 2;
const BATCH = 4;

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
  #isFlushing = false;
  /** Saves in a message: until the server has said that it takes batches, one. */
  #most = 1;
  #heard = performance.now();

  constructor(call: SaveStreamCall, outbox: Outbox, answered: (answer: SaveStreamResponse) => void) {
    this.#call = call;
    this.#outbox = outbox;
    call.on("data", (answer: SaveStreamResponse) => {
      this.#heard = performance.now();
      if (answer.takesBatches) {
        this.#most = BATCH_SAVES;
      }
      for (const one of answer.batch.length > 0 ? answer.batch : [answer]) {
        answered(one);
      }
    });
    call.on("drain", () => {
      this.#blocked = false;
      this.wake();
    });
    const watch = this.#watch();
    this.ended = this.#end().finally(() => clearInterval(watch));
    this.wake();
  }

  /** Milliseconds since the last answer, or since the beginning. */
  get silence(): number {
    return performance.now() - this.#heard;
  }

  /** There may be something in the outbox. What is saved until the event loop turns goes out together. */
  wake(): void {
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      setImmediate(() => {
        this.#isFlushing = false;
        this.#flush();
      });
    }
  }

  /** Send what there is, as long as the connection takes it. */
  #flush(): void {
    while (!this.#blocked && !this.#closing) {
      const items = this.#outbox.take(this.#most, BATCH_BYTES);
      if (items.length === 0) {
        return;
      }
      this.#used = true;
      this.#blocked = !this.#call.write(message(items));
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

/** The SaveStreamRequest for one or more items. */
function message(items: Item[]): Uint8Array {
  const [only] = items;
  return written((writer) => {
    if (only && items.length === 1) {
      addSave(writer, only);
      return;
    }
    for (const item of items) {
      writer.tag(BATCH, WireType.LengthDelimited).fork();
      addSave(writer, item);
      writer.join();
    }
  });
}

function addSave(writer: BinaryWriter, { number: requestId, traceContext, request }: Item): void {
  SAVE_STREAM.request.write(writer, { requestId, traceContext });
  writer.tag(SAVE, WireType.LengthDelimited).bytes(request);
}
