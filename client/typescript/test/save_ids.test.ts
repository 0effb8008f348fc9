/** Saves of unknown outcome: a late one overwrites nothing, and the same save again is a retry. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, DeadlineExceeded, ExpectedLatestMismatch, NONE, ResourceExhausted, Unavailable } from "lockstitch";
import { connected } from "./connected.js";
import { fates } from "./losing.js";
import { Server } from "./server.js";

const SHORT = { timeoutMs: 500 };
const PATIENT = { timeoutMs: 60_000 };

/** The connection may be replaced meanwhile. */
const isOpen = (error: unknown) => error instanceof DeadlineExceeded || error instanceof Unavailable;

describe("a save of unknown outcome", { timeout: 300_000 }, () => {
  for (const stream of [true, false]) {
    test(`overwrites nothing when it arrives late: ${stream ? "streams" : "calls"}`, async () => {
      await using server = await Server.start();
      using client = new Client(server.target, { stream });
      const sessions = Array.from({ length: 16 }, (_, number) => `s-${number}`);
      const save = (sessionId: string, content: string, options: { timeoutMs: number }) =>
        client.save(
          { sessionId, step: 5n, state: { messages: { items: [{ content: content.repeat(4000) }] } } },
          options,
        );
      await Promise.all(sessions.map((sessionId) => client.save({ sessionId, step: 1n })));
      await server.freeze();
      const old = await Promise.allSettled(sessions.map((sessionId) => save(sessionId, "old ", SHORT)));
      assert(old.every((result) => result.status === "rejected"));
      const later = Promise.all(sessions.map((sessionId) => save(sessionId, "new ", PATIENT)));
      server.signal("SIGCONT");
      await later;
      // Whatever is late has arrived before these are answered, or belongs to a connection that has ended.
      await Promise.all(sessions.map((sessionId) => client.save({ sessionId, step: 2n }, PATIENT)));
      await sleep(500);
      for (const sessionId of sessions) {
        const { checkpoint } = await client.loadLatest(sessionId);
        assert(checkpoint?.state?.messages?.items[0]?.content.startsWith("new "), sessionId);
      }
    });
  }

  test("is a retry if it is saved again, by a client and by a thread", async () => {
    await using server = await Server.start();
    using client = new Client(server.target);
    const condition = { expectedLatest: NONE };
    const thread = client.thread("thread");
    await client.save({ sessionId: "warm" });
    await server.freeze();
    await assert.rejects(client.save({ sessionId: "a", step: 1n }, { ...condition, ...SHORT }), isOpen);
    await assert.rejects(thread.save({ n: 1 }, SHORT), isOpen);
    server.signal("SIGCONT");
    const again = await client.save({ sessionId: "a", step: 1n }, { ...condition, ...PATIENT });
    assert(again.outcome !== "REPLACED");
    await thread.save({ n: 1 }, PATIENT);
    await thread.save({ n: 2 });
    assert.deepEqual([(await client.thread("thread").load())?.n, thread.step], [2, 2]);
  });
});

describe("equal saves", { timeout: 300_000 }, () => {
  const suite = connected();

  test("of one client on one condition: one succeeds", async () => {
    const checkpoint = { sessionId: "equal", step: 1n };
    const saves = [1, 2].map(() => suite.client.save(checkpoint, { expectedLatest: NONE }));
    const failures = (await Promise.allSettled(saves)).flatMap((one) =>
      one.status === "rejected" ? [one.reason] : [],
    );
    assert.equal(failures.length, 1);
    assert(failures[0] instanceof ExpectedLatestMismatch);
  });

  test("notice a checkpoint that was deleted and saved again, by its revision", async () => {
    const sessionId = "aba";
    await suite.client.save({ sessionId, step: 1n });
    const { revision } = await suite.client.save({ sessionId, step: 2n });
    await suite.client.rewindSession(sessionId, { checkpointId: "00000000000000000001" });
    await suite.client.save({ sessionId, step: 2n, metadata: { n: "3" } });
    const options = { expectedLatest: 2n, expectedRevision: revision };
    await assert.rejects(suite.client.save({ sessionId, step: 3n }, options), ExpectedLatestMismatch);
  });
});

describe("a save whose answer was lost", { timeout: 300_000 }, () => {
  const suite = connected();
  const CONDITION = { expectedLatest: NONE };
  /** A call for every save, and none repeated. */
  const CALLS = { stream: false, retry: false } as const;

  for (const retry of [false, true]) {
    test(`is known after a retry that was refused: by ${retry ? "the client" : "the caller"}`, async () => {
      using client = new Client(suite.server.target, {
        stream: false,
        retry,
        interceptors: [fates("lost", "refused")],
      });
      const checkpoint = { sessionId: `refused-${retry}`, step: 1n };
      if (!retry) {
        await assert.rejects(client.save(checkpoint, CONDITION), Unavailable);
      }
      await assert.rejects(client.save(checkpoint, CONDITION), ResourceExhausted);
      assert.equal((await client.save(checkpoint, CONDITION)).outcome, "UNCHANGED");
      await assert.rejects(client.save(checkpoint, CONDITION), ExpectedLatestMismatch);
    });
  }

  test("is another save if a later one was called meanwhile", async () => {
    using client = new Client(suite.server.target, { ...CALLS, interceptors: [fates("lost")] });
    const save = (name: string) => client.save({ sessionId: "overlap", step: 1n, metadata: { name: `"${name}"` } });
    const [first, second] = await Promise.allSettled([save("one"), save("two")]);
    assert(first.status === "rejected" && first.reason instanceof Unavailable);
    assert(second.status === "fulfilled");
    assert.equal((await save("one")).outcome, "REPLACED");
  });

  test("is a retry if the later one was refused", async () => {
    using client = new Client(suite.server.target, { ...CALLS, interceptors: [fates("lost")] });
    const save = () => client.save({ sessionId: "refused", step: 1n }, CONDITION);
    const [first, second] = await Promise.allSettled([save(), save()]);
    assert(first.status === "rejected" && first.reason instanceof Unavailable);
    assert(second.status === "rejected" && second.reason instanceof ExpectedLatestMismatch);
    assert.equal((await save()).outcome, "UNCHANGED");
  });

  test("is stored once by the first append of a new thread, and is not that of another thread", async () => {
    using client = new Client(suite.server.target, { ...CALLS, interceptors: [fates("lost")] });
    const [thread, other] = [client.thread("append"), client.thread("append")];
    await assert.rejects(thread.append("log", 1), Unavailable);
    await assert.rejects(other.save({ log: [1] }), ExpectedLatestMismatch);
    await thread.append("log", 1);
    assert.deepEqual(await suite.client.thread("append").load(), { log: [1] });
  });
});
