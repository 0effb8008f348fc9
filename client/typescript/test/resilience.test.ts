/** Servers that die, hang or vanish, while the application goes on as if nothing had happened. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, DeadlineExceeded } from "lockstitch";
import { Server } from "./server.js";

const SESSIONS = 8;
const STEPS = 30;
const PATIENT = { timeoutMs: 120_000 };

/** A worker that knows nothing of failures. */
async function work(client: Client, sessionId: string): Promise<void> {
  const items: { role: string; content: string }[] = [];
  for (let step = 0n; step < STEPS; step++) {
    items.push({ role: "user", content: `${step}` });
    await client.save({ sessionId, step, state: { messages: { version: Number(step), items } } });
    await sleep(20);
  }
}

describe("a client survives", { timeout: 600_000 }, () => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`a server that restarts after ${signal}`, async () => {
      await using server = await Server.start();
      using client = new Client(server.target, PATIENT);
      const sessions = Array.from({ length: SESSIONS }, () => randomUUID());
      const working = Promise.all(sessions.map((sessionId) => work(client, sessionId)));
      for (let round = 0; round < 2; round++) {
        await sleep(200);
        await server.stop(signal);
        await server.start();
      }
      await working;
      for (const sessionId of sessions) {
        const { checkpoint } = await client.loadLatest(sessionId);
        assert.equal(checkpoint?.step, BigInt(STEPS - 1));
        assert.equal(checkpoint?.state?.messages?.items.length, STEPS);
      }
    });
  }

  test("a server that hangs: calls end in time, and work again afterwards", async () => {
    await using server = await Server.start();
    using client = new Client(server.target, PATIENT);
    await client.save({ sessionId: "warm" });
    await server.freeze();
    const saves = ["a", "b", "c"].map((sessionId) => client.save({ sessionId }, { timeoutMs: 1500 }));
    for (const save of await Promise.allSettled(saves)) {
      assert(save.status === "rejected" && save.reason instanceof DeadlineExceeded);
    }
    server.signal("SIGCONT");
    await Promise.all(["a", "b", "c"].map((sessionId) => client.save({ sessionId })));
  });

  test("a list, loads and streams that a restart breaks off", async () => {
    await using server = await Server.start();
    using client = new Client(server.target, PATIENT);
    const sessions = Array.from({ length: 50 }, () => randomUUID());
    await Promise.all(sessions.map((sessionId) => client.save({ sessionId, parentId: "" })));
    const seen = new Set<string>();
    for await (const { sessionId } of client.listSessions({ orderBy: "sessionId", pageSize: 10 })) {
      seen.add(sessionId);
      if (seen.size === 15) {
        await server.stop("SIGKILL");
        await server.start();
      }
    }
    assert.equal(seen.size, 50);
    const answers = [];
    for await (const answer of client.loadLatestMany(sessions)) {
      answers.push(answer.result().checkpoint?.sessionId);
    }
    assert.deepEqual(answers.sort(), sessions.sort());
  });
});
