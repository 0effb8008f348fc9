/** Features that all clients have, where no other test of this client shows them. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { Client, LeaseHeld, LeaseLost, NotFound, node } from "lockstitch";
import { connected } from "./connected.js";
import { Server } from "./server.js";

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

describe("a client", { timeout: 300_000 }, () => {
  const suite = connected();

  test("rewinds a session, and keeps the checkpoint it names", async () => {
    const { client } = suite;
    const sessionId = randomUUID();
    const saved = [];
    for (const step of [1n, 2n, 3n]) {
      saved.push(await client.save({ sessionId, step }));
    }
    const { deleted } = await client.rewindSession(sessionId, { checkpointId: saved[0]?.checkpointId ?? "" });
    assert.equal(deleted, 2n);
    assert.equal((await client.loadLatest(sessionId)).checkpoint?.step, 1n);
    await assert.rejects(client.rewindSession(sessionId, { checkpointId: "none" }), NotFound);
  });

  test("filters lists by its arguments", async () => {
    const { client } = suite;
    const prefix = randomUUID();
    for (const step of [1n, 2n, 3n]) {
      await client.save({
        sessionId: `${prefix}-a`,
        step,
        ranNodes: [node(`node ${step}`)],
        metadata: { even: String(step % 2n === 0n) },
      });
    }
    const before = new Date((await client.save({ sessionId: `${prefix}-b` })).savedAt.getTime() + 1);
    await client.updateSession(`${prefix}-b`, { setLabels: { kind: "test" } });
    const steps = async (options: Parameters<Client["listCheckpoints"]>[1]) =>
      (await all(client.listCheckpoints(`${prefix}-a`, options))).map(({ checkpoint }) => checkpoint.step);
    assert.deepEqual(await steps({ minStep: 2n }), [3n, 2n]);
    assert.deepEqual(await steps({ maxStep: 2n, pageSize: 1 }), [2n, 1n]);
    assert.deepEqual(await steps({ ranNode: "node 2" }), [2n]);
    assert.deepEqual(await steps({ metadata: { even: "false" } }), [3n, 1n]);
    assert.deepEqual(await steps({ beforeCheckpointId: "00000000000000000002" }), [1n]);
    const sessions = async (options: Parameters<Client["listSessions"]>[0]) =>
      (await all(client.listSessions({ sessionIdPrefix: prefix, ...options }))).map(({ sessionId }) =>
        sessionId.slice(-1),
      );
    assert.deepEqual(await sessions({ orderBy: "sessionId" }), ["a", "b"]);
    assert.deepEqual(await sessions({ labels: { kind: "test" } }), ["b"]);
    assert.deepEqual(await sessions({ updatedSince: new Date(before.getTime() + 3_600_000) }), []);
    assert.deepEqual(await sessions({ updatedBefore: new Date(0) }), []);
  });

  test("waits for a lease, and a runner saves pending writes under it", async () => {
    const { client } = suite;
    const sessionId = randomUUID();
    const runner = await client.run(sessionId, "first");
    await assert.rejects(client.run(sessionId, "second"), LeaseHeld);
    const waiting = client.run(sessionId, "second", { wait: true, timeoutMs: 60_000 });
    const { checkpointId } = await runner.save({ sessionId, step: 1n });
    const write = { taskId: "t", channel: "answer", value: { type: "json", data: new TextEncoder().encode("42") } };
    assert.equal((await runner.saveWrites(checkpointId, [write])).stored, 1);
    const { pendingWrites } = await client.loadLatest(sessionId);
    assert.deepEqual(
      pendingWrites.map(({ taskId, channel, value }) => [taskId, channel, value?.type]),
      [["t", "answer", "json"]],
    );
    await runner.release();
    await using second = await waiting;
    assert.equal(second.checkpoint?.step, 1n);
    await assert.rejects(runner.saveWrites(checkpointId, [{ ...write, taskId: "late" }]), LeaseLost);
  });

  test("spreads calls and streams over all addresses of a target", async () => {
    await using other = await Server.start();
    const targets = [suite.server.target, other.target];
    using client = new Client(`ipv4:${targets.join(",")}`);
    await client.waitReady();
    const prefix = randomUUID();
    const counts = async (kind: string) => {
      const direct = targets.map((target) => new Client(target));
      const lists = direct.map((one) => all(one.listSessions({ sessionIdPrefix: `${prefix}-${kind}` })));
      const found = await Promise.all(lists);
      for (const one of direct) {
        one.close();
      }
      return found.map((sessions) => sessions.length);
    };
    // Until both are connected, one gets them all: gRPC connects to the addresses one by one.
    for (let number = 0; Math.min(...(await counts("call"))) === 0; number++) {
      await client.save({ sessionId: `${prefix}-call-${number}` });
    }
    for (let number = 0; number < 20; number++) {
      await client.save({ sessionId: `${prefix}-spread-${number}` });
    }
    assert(Math.min(...(await counts("spread"))) >= 5, String(await counts("spread")));
    await Promise.all(
      Array.from({ length: 50 }, (_, number) => client.save({ sessionId: `${prefix}-many-${number}` })),
    );
    assert(Math.min(...(await counts("many"))) > 0, String(await counts("many")));
  });
});
