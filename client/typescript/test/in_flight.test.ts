/** Saves that are under way together: their order, and what they take of the memory while nothing is answered. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Client, DeadlineExceeded, Unavailable } from "lockstitch";
import { Scripted } from "./scripted.js";
import { Server } from "./server.js";

const MIB = 1024 * 1024;
const TIMEOUT_MS = 300;
const ROUNDS = 12;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

describe("saves in flight", { timeout: 300_000 }, () => {
  for (const stream of [true, false]) {
    test(`first called, first sent: 200 pairs, ${stream ? "streams" : "calls"}`, async () => {
      await using server = await Server.start();
      using client = new Client(server.target, { stream });
      const sessions = Array.from({ length: 200 }, () => randomUUID());
      const pair = (sessionId: string) =>
        ["one", "two"].map((name) => client.save({ sessionId, step: 1n, metadata: { name: `"${name}"` } }));
      await Promise.all(sessions.flatMap(pair));
      for await (const { checkpoint } of client.listCheckpoints("", { pageSize: 1000 })) {
        assert.equal(checkpoint.metadata.name, '"two"');
      }
    });
  }

  test("share messages once the server takes batches", async () => {
    await using server = await Scripted.start({});
    using client = new Client(server.target);
    const save = (sessionId: string) => client.save({ sessionId });
    await Promise.all(Array.from({ length: 20 }, (_, number) => save(`first ${number}`))); // on every stream
    const before = server.calls.SaveStream;
    await Promise.all(Array.from({ length: 200 }, (_, number) => save(`then ${number}`)));
    assert(server.calls.SaveStream - before <= 8, String(server.calls.SaveStream - before));
  });

  test("are bounded by their number and by their bytes; others wait their turn", async () => {
    await using server = await Server.start();
    for (const inFlight of [{ maxSaves: 1 }, { maxBytes: 1 }]) {
      using client = new Client(server.target, { inFlight });
      await Promise.all(Array.from({ length: 50 }, () => client.save({ sessionId: randomUUID() })));
      await server.freeze();
      const first = client.save({ sessionId: "first" }, { timeoutMs: 60_000 });
      await assert.rejects(client.save({ sessionId: "second" }, { timeoutMs: 100 }), (error: Error) => {
        assert(error instanceof DeadlineExceeded);
        assert.match(error.message, /inFlight/);
        return true;
      });
      server.signal("SIGCONT");
      await first;
      await client.save({ sessionId: "third" });
    }
    assert.throws(() => new Client(server.target, { inFlight: { maxSaves: 0 } }), RangeError);
    assert.throws(() => new Client(server.target, { inFlight: { maxBytes: Number.NaN } }), RangeError);
  });

  test("take no more memory the longer the server hangs", async () => {
    assertBounded(await heldByRounds(0));
  });

  test("take no memory if their time is up before they are sent", async () => {
    assertBounded(await heldByRounds(2 * TIMEOUT_MS));
  });
});

/** MiB in buffers after each round of saves to a server that hangs. busyMs: how long the program is busy meanwhile. */
async function heldByRounds(busyMs: number): Promise<number[]> {
  await using server = await Server.start();
  using client = new Client(server.target);
  await client.save({ sessionId: "warm" });
  await server.freeze();
  const state = { messages: { items: [{ role: "user", content: "x".repeat(200 * 1024) }] } };
  const held: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const saves = Array.from({ length: 64 }, (_, number) =>
      client.save({ sessionId: `s-${number}`, step: BigInt(round), state }, { timeoutMs: TIMEOUT_MS }),
    );
    block(busyMs);
    for (const save of await Promise.allSettled(saves)) {
      assert(save.status === "rejected");
      assert(save.reason instanceof DeadlineExceeded || save.reason instanceof Unavailable, String(save.reason));
    }
    collectGarbage();
    collectGarbage(); // this one begins when the buffers of the first are freed, which V8 does beside the program
    held.push(process.memoryUsage().arrayBuffers / MIB);
  }
  console.log("MiB held after each round:", held.map(Math.round).join(" "));
  return held;
}

function assertBounded(held: number[]): void {
  // A round has 12.5 MiB, and twice that with gRPC's copies. A client that kept them would hold 300 MiB in the end. The
  // rounds before the silent connection is replaced may leave something in its buffers.
  assert(Math.max(...held) < 100, String(held));
}

/** Keep the event loop from doing anything. */
function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    // busy
  }
}
