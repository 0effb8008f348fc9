import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import {
  Cancelled,
  type CheckpointInit,
  Client,
  ExpectedLatestMismatch,
  InvalidArgument,
  NONE,
  NoConnection,
  NotJson,
  node,
} from "lockstitch";
import { connected } from "./connected.js";
import { Server } from "./server.js";

describe("a client", { timeout: 300_000 }, () => {
  const suite = connected();

  test("throws errors by their reason, with what they tell", async () => {
    const sessionId = randomUUID();
    await suite.client.save({ sessionId, step: 7n }, { expectedLatest: NONE });
    await assert.rejects(suite.client.save({ sessionId, step: 8n }, { expectedLatest: "x" }), (error: unknown) => {
      assert(error instanceof ExpectedLatestMismatch);
      assert.deepEqual([error.latestStep, error.code, error.name], [7n, "ABORTED", "ExpectedLatestMismatch"]);
      return true;
    });
    await assert.rejects(suite.client.save({ sessionId, metadata: { a: "{" } }), NotJson);
    await assert.rejects(suite.client.save({ sessionId: "" }), (error: unknown) => {
      assert(error instanceof InvalidArgument);
      assert.equal(error.field, "checkpoint.session_id");
      return true;
    });
  });

  test("does not take null or a number for the condition that there is no checkpoint", async () => {
    const sessionId = randomUUID();
    for (const expectedLatest of [null, 7, {}] as never[]) {
      await assert.rejects(suite.client.save({ sessionId, step: 8n }, { expectedLatest }), TypeError);
    }
    assert.equal((await suite.client.loadLatest(sessionId)).checkpoint, undefined);
  });

  test("refuses steps beyond 2^63-1 and keeps all below", async () => {
    const sessionId = randomUUID();
    for (const step of [2n ** 53n + 1n, 2n ** 63n - 1n]) {
      await suite.client.save({ sessionId, step, concurrencyLimit: 2n ** 64n - 1n });
      const { checkpoint } = await suite.client.loadLatest(sessionId);
      assert.deepEqual([checkpoint?.step, checkpoint?.concurrencyLimit], [step, 2n ** 64n - 1n]);
    }
    await assert.rejects(suite.client.save({ sessionId, step: 2n ** 63n }), InvalidArgument);
  });

  test("keeps the order of a session's saves that are under way together", async () => {
    const sessionId = randomUUID();
    const steps = Array.from({ length: 50 }, (_, step) => BigInt(step));
    const saves = steps.map((step) =>
      suite.client.save({ sessionId, step }, { expectedLatest: step === 0n ? NONE : step - 1n }),
    );
    const answers = await Promise.all(saves);
    assert(answers.every((answer) => answer.outcome === "CREATED"));
  });

  test("takes what a checkpoint holds at once", async () => {
    const sessionId = randomUUID();
    const state = { messages: { items: [{ role: "user", content: "before" }] } };
    const saves = [suite.client.save({ sessionId: randomUUID(), state }), suite.client.save({ sessionId, state })];
    (state.messages.items[0] as { content: string }).content = "after";
    await Promise.all(saves);
    const { checkpoint } = await suite.client.loadLatest(sessionId);
    assert.equal(checkpoint?.state?.messages?.items[0]?.content, "before");
  });

  test("fails one save of many alone", async () => {
    const saves = Array.from({ length: 20 }, (_, number) => ({ sessionId: number === 7 ? "" : randomUUID() }));
    const answers = await Promise.allSettled(saves.map((save) => suite.client.save(save)));
    assert.deepEqual(
      answers.flatMap((answer, number) => (answer.status === "rejected" ? [number] : [])),
      [7],
    );
  });

  test("obeys a signal, before and during a call", async () => {
    await assert.rejects(suite.client.loadLatest("s", { signal: AbortSignal.abort() }), Cancelled);
    const away = new Client("127.0.0.1:1");
    const [signal, one, other] = [AbortSignal.timeout(200), randomUUID(), randomUUID()];
    const calls = [
      away.loadLatest(one, { signal }),
      away.save({ sessionId: one }, { signal }),
      away.save({ sessionId: other }, { signal }),
    ];
    for (const call of await Promise.allSettled(calls)) {
      assert(call.status === "rejected" && call.reason instanceof Cancelled);
    }
    away.close();
  });

  test("tells at the first call that there is no server", async () => {
    for (const options of [{}, { retry: false }, { connectTimeoutMs: 3_600_000, timeoutMs: 500 }]) {
      const away = new Client("127.0.0.1:1", { timeoutMs: 3_600_000, ...options });
      const calls = [away.loadLatest("s"), away.save({ sessionId: "a" }), away.save({ sessionId: "b" })];
      for (const call of await Promise.allSettled(calls)) {
        assert(call.status === "rejected");
        assert(call.reason instanceof NoConnection, String(call.reason));
        assert.match(call.reason.message, /no connection to 127\.0\.0\.1:1: .*ECONNREFUSED/);
      }
      await assert.rejects(away.waitReady({ timeoutMs: 300 }), NoConnection);
      away.close();
    }
  });

  test("tells at the first call that nothing answers", async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
    await once(silent, "listening");
    try {
      using away = new Client(`127.0.0.1:${(silent.address() as AddressInfo).port}`, { timeoutMs: 3_600_000 });
      await assert.rejects(away.loadLatest("s"), /nothing answers there/);
    } finally {
      silent.close();
      // gRPC does not end a connection that is still being set up, and its socket would keep this process running.
      for (const socket of sockets) {
        socket.destroy();
      }
    }
  });

  test("ends its calls when it is closed", async () => {
    const closing = new Client("127.0.0.1:1");
    const calls = [closing.loadLatest("s"), closing.save({ sessionId: "a" }), closing.save({ sessionId: "b" })];
    setTimeout(() => closing.close(), 100);
    for (const call of await Promise.allSettled(calls)) {
      assert(call.status === "rejected" && call.reason instanceof Cancelled, String(call.status));
    }
    await assert.rejects(closing.loadLatest("s"), Cancelled);
    closing.close();
  });

  test("speaks over a Unix socket", async () => {
    await using local = await Server.start({ socket: true });
    using client = new Client(local.target);
    assert.equal((await client.save({ sessionId: "s" })).outcome, "CREATED");
  });

  test("refuses text that is not Unicode and numbers out of range, with the field", async () => {
    const sessionId = randomUUID();
    const entries = { ok: "1", "\ud83d": "1" };
    const blob = { blob: { type: "x" } };
    for (const [checkpoint, field] of [
      [{ sessionId: `${sessionId}\udc00` }, "checkpoint.session_id"],
      [
        { sessionId, state: { messages: { items: [{ role: "a" }, { content: "\ud83d" }] } } },
        /messages\.items\[1\]\.content$/,
      ],
      [{ sessionId, state: { extra: { entries } } }, /^a key of checkpoint\.state\.extra\.entries$/],
      [{ sessionId, state: { custom: { "x\ud83d": blob } } }, /^a key of checkpoint\.state\.custom$/],
      [{ sessionId, metadata: { a: '"\ud83d"' } }, 'checkpoint.metadata["a"]'],
      [{ sessionId, frontier: [node("\ud83d")] }, "checkpoint.frontier[0].custom"],
      [{ sessionId, step: -1n }, "checkpoint.step"],
      [{ sessionId, concurrencyLimit: 2n ** 64n }, "checkpoint.concurrency_limit"],
    ] as [CheckpointInit, string | RegExp][]) {
      await assert.rejects(suite.client.save(checkpoint), (error: unknown) => {
        assert(error instanceof InvalidArgument, String(error));
        assert(typeof field === "string" ? error.field === field : field.test(error.field), error.field);
        return true;
      });
    }
    await assert.rejects(suite.client.loadLatest("\ud83d"), { name: "InvalidArgument", reason: "INVALID_FIELD" });
    await assert.rejects(suite.client.load(sessionId, { step: -1n }), { name: "InvalidArgument" });
    await assert.rejects(suite.client.save({ sessionId }, { leaseToken: 2n ** 64n }), { name: "InvalidArgument" });
    assert.equal((await suite.client.loadLatest(sessionId)).checkpoint, undefined);
    await suite.client.save({ sessionId, metadata: { a: '"\ufffd"' } });
    assert.equal((await suite.client.loadLatest(sessionId)).checkpoint?.metadata.a, '"\ufffd"');
  });

  test("sends no key to another host without TLS, and shows none", () => {
    const isSecret = (error: unknown) => error instanceof TypeError && /unencrypted/.test(error.message);
    for (const options of [{ apiKey: "secret" }, { metadata: { Authorization: "Bearer secret" } }]) {
      assert.throws(() => new Client("lockstitch.example:50051", options), isSecret);
      new Client("lockstitch.example:50051", { ...options, tls: true }).close();
      new Client("lockstitch.example:50051", { ...options, insecure: true }).close();
      new Client("127.0.0.1:50051", options).close();
      new Client("unix:/run/lockstitch.sock", options).close();
    }
    for (const options of [
      { apiKey: "secret\n" },
      { apiKey: "sec ret" },
      { apiKey: "" },
      { apiKey: "secrét" },
      { metadata: { authorization: "Bearer secret\n" } },
      { metadata: { "na me": "secret" } },
    ]) {
      assert.throws(
        () => new Client("127.0.0.1:50051", options),
        (error: unknown) => error instanceof TypeError && !/sec/.test(error.message),
      );
    }
  });

  test("refuses options that make no sense", () => {
    assert.throws(() => new Client("x:1", { retry: { maxBackoffMs: 0 } }), RangeError);
    assert.throws(() => new Client("x:1", { delta: { maxEntries: 0 } }), RangeError);
    assert.throws(() => new Client("x:1", { tls: { cert: "x" } }), TypeError);
  });
});
