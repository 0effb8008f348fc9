/** Calls that the server cancels, as one that stops does with what it has not begun; and those that the caller cancels. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type CallOptions, Cancelled, Client, Unavailable } from "lockstitch";
import { ErrorInfoSchema, encode, StatusSchema } from "lockstitch/v1";
import { type Failure, type Method, Scripted } from "./scripted.js";

const FAST = { initialBackoffMs: 1, maxBackoffMs: 1 };
const told: Failure = { details: undefined };

/** How to make a call of each method, alone of its kind. */
const WAYS: Record<Method, (client: Client, options?: CallOptions) => Promise<unknown>> = {
  Save: (client, options) => client.save({ sessionId: "s" }, options),
  SaveStream: async (client, options) => {
    const other = client.save({ sessionId: "other" }); // those that are under way together share a stream
    await Promise.all([client.save({ sessionId: "s" }, options), other]);
  },
  WatchSession: async (client, options) => {
    for await (const event of client.watchSession("s", options)) {
      return event;
    }
    return undefined;
  },
};

describe("a call that was cancelled", { timeout: 60_000 }, () => {
  for (const [method, call] of Object.entries(WAYS) as [Method, (typeof WAYS)[Method]][]) {
    test(`by the server is repeated: ${method}`, async () => {
      await using server = await Scripted.start({ [method]: ["reset", told] });
      using client = new Client(server.target, { retry: FAST });
      await call(client);
      assert.equal(server.calls[method], 3);
    });

    test(`by its signal is not: ${method}`, async () => {
      await using server = await Scripted.start({ [method]: ["hang"] });
      using client = new Client(server.target, { retry: FAST });
      const abort = new AbortController();
      const ended = assert.rejects(call(client, { signal: abort.signal }), Cancelled);
      while (server.calls[method] === 0) {
        await server.called();
      }
      abort.abort();
      await ended;
      assert.equal(server.calls[method], 1);
    });

    test(`by closing the client is not: ${method}`, async () => {
      await using server = await Scripted.start({ [method]: ["hang"] });
      using client = new Client(server.target, { retry: FAST });
      const ended = assert.rejects(call(client), Cancelled);
      while (server.calls[method] === 0) {
        await server.called();
      }
      client.close();
      await ended;
      assert.equal(server.calls[method], 1);
    });
  }

  test("by the server is Unavailable where nothing is to be repeated", async () => {
    await using server = await Scripted.start({ Save: [told] });
    using client = new Client(server.target, { retry: false });
    await assert.rejects(client.save({ sessionId: "s" }), Unavailable);
    assert.equal(server.calls.Save, 1);
  });

  test("by the server with details that cannot be read is repeated: alone and on a stream", async () => {
    const broken = ["ErrorInfo", "RetryInfo"].map((name) => {
      const detail = { typeUrl: `type.googleapis.com/google.rpc.${name}`, value: Uint8Array.of(0x0a, 0xff) };
      return { details: encode(StatusSchema, { code: 1, details: [detail] }) };
    });
    await using server = await Scripted.start({ Save: [...broken], SaveStream: [...broken] });
    using client = new Client(server.target, { retry: FAST });
    await WAYS.Save(client);
    await WAYS.SaveStream(client);
    assert(server.calls.Save >= 3 && server.calls.SaveStream >= 3);
  });

  test("by the server with a reason of its own is not repeated", async () => {
    const value = encode(ErrorInfoSchema, { domain: "lockstitch.dev", reason: "NEWER" });
    const info = { typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value };
    const details = encode(StatusSchema, { code: 1, details: [info] });
    await using server = await Scripted.start({ Save: [{ details }] });
    using client = new Client(server.target, { retry: FAST });
    await assert.rejects(client.save({ sessionId: "s" }), (error) => {
      assert(error instanceof Cancelled);
      assert.equal(error.reason, "NEWER");
      return true;
    });
    assert.equal(server.calls.Save, 1);
  });
});
