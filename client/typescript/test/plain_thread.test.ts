/** Threads of plain state, with a real server. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  AlreadyExists,
  type Codec,
  ExpectedLatestMismatch,
  JSON_CODEC,
  LeaseHeld,
  LeaseLost,
  NotFound,
  type Thread,
  type Version,
} from "lockstitch";
import { connected } from "./connected.js";
import { STATES, VALUES } from "./states.js";

interface Order {
  messages: { role: string; content?: string }[];
  cart?: Record<string, number>;
}

describe("a thread", { timeout: 300_000 }, () => {
  const suite = connected();

  const begin = () => suite.client.thread(randomUUID());
  const again = (thread: Thread) => suite.client.thread(thread.threadId);

  test("equal states of two threads are two saves: one fails", async () => {
    const thread = begin();
    const other = again(thread);
    const saves = await Promise.allSettled([thread, other].map((one) => one.save({ owner: "worker" })));
    const failures = saves.flatMap((save) => (save.status === "rejected" ? [save.reason] : []));
    assert.equal(failures.length, 1);
    assert(failures[0] instanceof ExpectedLatestMismatch);
  });

  test("a rewind and as many saves of another are noticed", async () => {
    const thread = begin();
    await thread.save({ n: 1 });
    await thread.save({ n: 2 });
    const other = again(thread);
    await other.load();
    await other.rewind(1);
    await other.save({ n: 3 });
    await assert.rejects(thread.save({ n: 4 }), ExpectedLatestMismatch);
  });

  test("saves, appends and resumes", async () => {
    const thread = suite.client.thread<Order>(randomUUID());
    assert.equal(await thread.load(), undefined);
    await thread.save({ messages: [{ role: "user", content: "hello" }], cart: { apples: 2 } });
    await thread.append("messages", { role: "assistant" }, { role: "user", content: "bye" });
    // @ts-expect-error: a message has a role
    await suite.client.thread<Order>(randomUUID()).append("messages", { content: "hi" });
    // @ts-expect-error: the cart is no list
    await assert.rejects(thread.append("cart", 1), /^TypeError: value\.cart is an object, not a list/);
    const state = await suite.client.thread<Order>(thread.threadId).load();
    assert.deepEqual(
      state?.messages.map(({ role }) => role),
      ["user", "assistant", "user"],
    );
    assert.deepEqual([state?.cart, thread.step], [{ apples: 2 }, 2]);
  });

  test("gives back any edits", async () => {
    const key = fc.constantFrom("a", "b", "a/b", "__proto__");
    const edit = fc.oneof(
      fc.record({ kind: fc.constantFrom("put", "append", "drop"), key, value: VALUES }),
      fc.constant({ kind: "rewind", key: "", value: 0 }),
    );
    await fc.assert(
      fc.asyncProperty(STATES, fc.array(edit, { maxLength: 8 }), async (first, edits) => {
        let thread = begin();
        const saved = [first];
        await thread.save(first);
        for (const { kind, key, value } of edits) {
          const current = saved.at(-1) as Record<string, unknown>;
          const list = Object.hasOwn(current, key) ? current[key] : [];
          const others = Object.entries(current).filter(([name]) => name !== key);
          const changed = (item: unknown) => Object.fromEntries([...others, [key, item]]);
          if (kind === "append" && Array.isArray(list)) {
            saved.push(changed([...list, value]));
            await thread.append(key, value);
          } else if (kind === "append") {
            await assert.rejects(thread.append(key, value), TypeError);
          } else if (kind === "rewind" && saved.length > 1) {
            saved.pop();
            assert.deepStrictEqual(await thread.rewind(saved.length), saved.at(-1));
          } else {
            saved.push(kind === "put" ? changed(value) : Object.fromEntries(others));
            await thread.save(saved.at(-1) as object as Record<string, unknown>);
          }
          const other = again(thread);
          assert.deepStrictEqual(await other.load(), saved.at(-1));
          assert.deepStrictEqual(await thread.at(saved.length), saved.at(-1));
          thread = other;
        }
      }),
      { numRuns: 15 },
    );
  });

  test("never overwrites what another has saved", async () => {
    const thread = begin();
    const other = again(thread);
    await thread.save({ turn: 1 });
    await assert.rejects(other.save({ turn: "never loaded" }), ExpectedLatestMismatch);
    assert.deepEqual(await other.load(), { turn: 1 });
    await other.save({ turn: 2 });
    await assert.rejects(thread.save({ turn: "late" }), ExpectedLatestMismatch);
    assert.deepEqual(await thread.load(), { turn: 2 });
  });

  test("two that append lose and double nothing", async () => {
    const thread = begin();
    const work = async (name: string) => {
      const mine = again(thread);
      for (let number = 0; number < 20; ) {
        try {
          await mine.append("log", [name, number]);
          number++;
        } catch (error) {
          assert(error instanceof ExpectedLatestMismatch);
          await mine.load();
        }
      }
    };
    await Promise.all([work("a"), work("b")]);
    const log = (await thread.load())?.log as [string, number][];
    for (const name of ["a", "b"]) {
      assert.deepEqual(
        log.filter(([by]) => by === name).map(([, number]) => number),
        [...Array(20).keys()],
      );
    }
    assert.equal(log.length, 40);
  });

  test("runs the calls of one object one after the other", async () => {
    const thread = begin();
    const state = { log: [0] };
    const calls = [thread.save(state), thread.append("log", 1), thread.append("log", 2), thread.save({ log: [3] })];
    state.log.push(99);
    calls.push(thread.append("log", 4));
    await Promise.all(calls);
    assert.deepEqual([await thread.at(3), await thread.load()], [{ log: [0, 1, 2] }, { log: [3, 4] }]);
  });

  test("goes on after a call that failed", async () => {
    const thread = begin();
    const failed = thread.save({ a: "x".repeat(10) }, { signal: AbortSignal.abort() });
    const second = thread.save({ b: 1 });
    await assert.rejects(failed);
    await second;
    assert.deepEqual(await again(thread).load(), { b: 1 });
  });

  test("has a history, forks and rewinds", async () => {
    const thread = begin();
    const begun = Date.now();
    for (const turn of [1, 2, 3]) {
      await thread.save({ turn }, { metadata: { turn: String(turn) } });
    }
    const versions: Version[] = [];
    for await (const version of thread.history()) {
      versions.push(version);
    }
    assert.deepEqual(
      versions.map(({ step, metadata }) => [step, metadata.turn]),
      [
        [3, "3"],
        [2, "2"],
        [1, "1"],
      ],
    );
    assert(versions.every(({ savedAt, stateBytes }) => Math.abs(+savedAt - begun) < 3_600_000 && stateBytes > 0));
    const fork = await thread.fork(randomUUID(), { step: 2 });
    assert.deepEqual([await fork.load(), fork.step], [{ turn: 2 }, 2]);
    await fork.save({ turn: "other" });
    assert.deepEqual(await thread.load(), { turn: 3 });
    await assert.rejects(thread.fork(fork.threadId), AlreadyExists);
    await assert.rejects(thread.at(9), NotFound);
    assert.deepEqual([await thread.rewind(1), thread.step], [{ turn: 1 }, 1]);
  });

  test("a lease keeps others out", async () => {
    const thread = begin();
    const other = again(thread);
    {
      await using lease = await thread.lease();
      await thread.save({ turn: 1 });
      await assert.rejects(other.lease(), LeaseHeld);
      await other.load();
      await assert.rejects(other.save({ turn: 2 }), LeaseLost);
      await thread.append("log", 1);
      assert.deepEqual(await thread.rewind(1), { turn: 1 });
      assert.equal(lease.signal.aborted, false);
    }
    assert.deepEqual(await other.load(), { turn: 1 });
    await other.save({ turn: 2 });
    await thread.load();
    await thread.save({ turn: 3 });
  });

  test("makes states with parse, which may not drop anything", async () => {
    const parse = (stored: unknown): Order => {
      const { messages, cart } = stored as Order;
      return cart ? { messages, cart } : { messages };
    };
    const thread = suite.client.thread(randomUUID(), { parse });
    await thread.save({ messages: [] });
    assert.deepEqual(await thread.load(), { messages: [] });
    const writer = suite.client.thread(thread.threadId);
    await writer.load();
    await writer.save({ messages: [], note: "x" });
    await assert.rejects(thread.load(), /value\.note is stored, and parse does not keep it/);
  });

  test("takes a codec", async () => {
    const hex: Codec = {
      encode: (value) => ({ type: "hex", data: Buffer.from((value as Buffer).toString("hex")) }),
      decode: ({ data }) => Buffer.from(Buffer.from(data).toString(), "hex"),
    };
    const thread = suite.client.thread(randomUUID(), { codec: hex });
    await thread.save({ a: Buffer.from([0]), list: [Buffer.from([255])] });
    const loaded = await suite.client.thread(thread.threadId, { codec: hex }).load();
    assert.deepEqual(loaded, { a: Buffer.from([0]), list: [Buffer.from([255])] });
    await assert.rejects(suite.client.thread(thread.threadId, { codec: JSON_CODEC }).load(), /is stored as "hex"/);
  });

  test("refuses what is no plain state", async () => {
    const sessionId = randomUUID();
    await suite.client.save({ sessionId, step: 1n, state: { messages: { items: [{ role: "user" }] } } });
    await assert.rejects(suite.client.thread(sessionId).load(), /holds no plain state/);
    const newer = randomUUID();
    const header = { type: "lockstitch.plain", data: Buffer.from("2") };
    await suite.client.save({ sessionId: newer, step: 1n, header });
    await assert.rejects(suite.client.thread(newer).load(), /of layout "2", and this client reads layout "1"/);
    await assert.rejects(begin().save([1] as unknown as Record<string, unknown>), /a state is an object/);
  });

  test("appending stores what is appended", async () => {
    const thread = begin();
    const [entry, entries] = ["x".repeat(200), 1000];
    for (let count = 0; count < entries; count++) {
      await thread.append("log", entry);
    }
    const { storedBytes } = await suite.client.getSession(thread.threadId);
    assert(storedBytes <= BigInt(entries * (1.5 * entry.length + 400)));
  });
});
