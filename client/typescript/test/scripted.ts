/** A server that answers as a real one does only now and then. */

import { once } from "node:events";
import { createServer, constants as http2, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  SaveResponseSchema,
  SaveStreamRequestSchema,
  SaveStreamResponseSchema,
  WatchSessionResponseSchema,
} from "lockstitch/v1";

/** What becomes of a call: CANCELLED by a status, with its details; reset without one; nothing, until it is cancelled. */
export type Failure = { details: Uint8Array | undefined } | "reset" | "hang";
export type Method = "Save" | "SaveStream" | "WatchSession";

const PREFIX = 5; // of a message: whether it is compressed, and its length
const GRPC = { ":status": 200, "content-type": "application/grpc" };
const CANCELLED = { "grpc-status": "1", "grpc-message": "cancelled" };

/** Calls fail one after the other, each as the next of its method's failures says, and then succeed. */
export class Scripted implements AsyncDisposable {
  readonly calls: Record<Method, number> = { Save: 0, SaveStream: 0, WatchSession: 0 };
  readonly #failures: Partial<Record<Method, Failure[]>>;
  readonly #server = createServer();
  #port = 0;

  private constructor(failures: Partial<Record<Method, Failure[]>>) {
    this.#failures = failures;
    this.#server.on("stream", (stream, headers) => this.#serve(stream, headers));
  }

  static async start(failures: Partial<Record<Method, Failure[]>>): Promise<Scripted> {
    const scripted = new Scripted(failures);
    scripted.#server.listen(0, "127.0.0.1");
    await once(scripted.#server, "listening");
    scripted.#port = (scripted.#server.address() as AddressInfo).port;
    return scripted;
  }

  get target(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Wait for the next call. */
  async called(): Promise<void> {
    await once(this.#server, "called");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const method = (headers[":path"] as string).split("/").pop() as Method;
    let received = Buffer.alloc(0);
    stream.on("error", () => {}); // it was cancelled
    stream.on("data", (data: Buffer) => {
      received = Buffer.concat([received, data]);
      while (received.length >= PREFIX && received.length >= PREFIX + received.readUInt32BE(1)) {
        const end = PREFIX + received.readUInt32BE(1);
        this.#answer(stream, method, received.subarray(PREFIX, end));
        received = received.subarray(end);
      }
    });
    stream.on("end", () => stream.end());
  }

  #answer(stream: ServerHttp2Stream, method: Method, request: Uint8Array): void {
    this.calls[method] += 1;
    const failure = this.#failures[method]?.shift();
    this.#server.emit("called");
    if (failure === "reset") {
      stream.close(http2.NGHTTP2_CANCEL);
    } else if (failure === undefined) {
      succeed(stream, answerTo(method, request));
    } else if (failure !== "hang") {
      const details = failure.details && Buffer.from(failure.details).toString("base64");
      stream.respond({ ...GRPC, ...CANCELLED, "grpc-status-details-bin": details }, { endStream: true });
    }
  }
}

function succeed(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (!stream.headersSent) {
    stream.respond(GRPC, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  }
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([prefix, message]));
}

function answerTo(method: Method, request: Uint8Array): Uint8Array {
  switch (method) {
    case "Save":
      return bytes(SaveResponseSchema, { revision: 1n });
    case "SaveStream": {
      const { requestId, batch } = fromBinary(SaveStreamRequestSchema, request);
      const saved = { case: "saved", value: { revision: 1n } } as const;
      const answers = batch.map((one) => ({ requestId: one.requestId, result: saved }));
      const one = batch.length > 0 ? { batch: answers } : { requestId, result: saved };
      return bytes(SaveStreamResponseSchema, { ...one, takesBatches: true });
    }
    case "WatchSession":
      return bytes(WatchSessionResponseSchema, { resumeToken: "1" });
  }
}

function bytes<T extends DescMessage>(schema: T, message: MessageInitShape<T>): Uint8Array {
  return toBinary(schema, create(schema, message));
}
