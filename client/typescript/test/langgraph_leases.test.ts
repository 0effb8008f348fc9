/** With leases a thread of LangGraph has one writer: of two runs one continues, and the other is refused. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, START, StateGraph } from "@langchain/langgraph";
import { Client, ExpectedLatestMismatch, LeaseHeld, LeaseLost } from "lockstitch";
import { type LeasePolicy, LockstitchSaver } from "lockstitch/langgraph";
import { connected } from "./connected.js";
import { Postgres } from "./postgres.js";
import { PACKAGE, Server } from "./server.js";

const WORKER = join(PACKAGE, "build/test/langgraph/worker.js");
const RUNS = 15;

const State = Annotation.Root({
  notes: Annotation<string[]>({ reducer: (old, more) => old.concat(more), default: () => [] }),
});
type Values = typeof State.State;

/** A graph of one node. */
function graphOf(checkpointer: LockstitchSaver, work: (state: Values) => Promise<Partial<Values>>) {
  return new StateGraph(State).addNode("work", work).addEdge(START, "work").compile({ checkpointer });
}

const answers = async ({ notes }: Values) => ({ notes: [`after ${notes.at(-1)}`] });

/** Another process: its lines, one after the other. */
class Worker implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(target: string, threadId: string, name: string, runs: string) {
    this.process = spawn(process.execPath, [WORKER, target, threadId, name, runs], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdout } = this.process;
    assert(stdout);
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    return (await this.#lines.next()).value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill("SIGKILL");
      await ended;
    }
  }
}

for (const store of ["SQLite", "Postgres"] as const) {
  test(`two processes on one thread lose and double nothing, on ${store}`, { timeout: 300_000 }, async () => {
    await using postgres = store === "Postgres" ? await Postgres.start() : undefined;
    await using server = await Server.start({ store: postgres?.url });
    using client = new Client(server.target);
    const threadId = randomUUID();
    await using one = new Worker(server.target, threadId, "one", String(RUNS));
    await using two = new Worker(server.target, threadId, "two", String(RUNS));
    const said = await Promise.all([one.line(), two.line()]);
    assert(said.every((line) => line.startsWith("done")));

    const { values } = await graphOf(new LockstitchSaver(client), answers).getState({
      configurable: { thread_id: threadId },
    });
    const { notes } = values as Values;
    const expected = ["one", "two"].flatMap((name) =>
      Array.from({ length: RUNS }, (_, number) => [`${name} ${number}`, `after ${name} ${number}`]),
    );
    assert.deepEqual(notes.toSorted(), expected.flat().toSorted());
    for (const [index, note] of notes.entries()) {
      assert.equal(note.startsWith("after") ? note : "", index % 2 ? `after ${notes[index - 1]}` : "");
    }
  });
}

describe("with leases", { timeout: 300_000 }, () => {
  const suite = connected();
  let threadId: string;

  const leasing = (policy: LeasePolicy = {}) =>
    new LockstitchSaver(suite.client, { lease: { ttlMs: 3000, ...policy } });
  const thread = () => ({ configurable: { thread_id: threadId } });
  const newThread = () => {
    threadId = randomUUID();
  };

  /** Run as soon as the lease of another has ended. */
  async function takeOver(saver: LockstitchSaver): Promise<void> {
    for (;;) {
      try {
        await graphOf(saver, answers).invoke({ notes: ["mine"] }, thread());
        return;
      } catch (error) {
        assert(error instanceof LeaseHeld);
        await sleep(200);
      }
    }
  }

  test("while one process writes, another is refused", async () => {
    newThread();
    await using worker = new Worker(suite.server.target, threadId, "the other", "wait");
    assert.equal(await worker.line(), "waits");
    await using saver = leasing();
    const graph = graphOf(saver, answers);
    await assert.rejects(graph.invoke({ notes: ["mine"] }, thread()), (error) => {
      assert(error instanceof LeaseHeld);
      assert.equal(error.holder, "the other");
      return true;
    });
    worker.process.stdin?.write("\n");
    assert.equal(await worker.line(), "done");
    await takeOver(saver); // it gives its lease back
  });

  test("a process that stood still is refused, and changes nothing", async () => {
    newThread();
    await using worker = new Worker(suite.server.target, threadId, "the other", "wait");
    assert.equal(await worker.line(), "waits");
    worker.process.kill("SIGSTOP");
    await using saver = leasing();
    await takeOver(saver);
    const before = await graphOf(saver, answers).getState(thread());
    worker.process.kill("SIGCONT");
    worker.process.stdin?.write("\n");
    assert.match(await worker.line(), /^(LeaseLost|LeaseHeld|ExpectedLatestMismatch)$/);
    const { values, config } = await graphOf(saver, answers).getState(thread());
    assert.deepEqual(
      [values, config.configurable?.checkpoint_id],
      [before.values, before.config.configurable?.checkpoint_id],
    );
  });

  for (const isNew of [true, false]) {
    test(`of two runs of one saver one is refused, on a thread that ${isNew ? "is new" : "exists"}`, async () => {
      newThread();
      await using saver = leasing();
      if (!isNew) {
        await graphOf(saver, answers).invoke({ notes: ["first"] }, thread());
      }
      let begun = 0;
      const waits: (() => void)[] = [];
      const meet = async (state: Values) => {
        begun += 1;
        await new Promise<void>((resolve) => waits.push(resolve));
        return answers(state);
      };
      const run = (note: string) =>
        graphOf(saver, meet).invoke({ notes: [note] }, { ...thread(), durability: "async" });
      const both = [run("one"), run("two")];
      const settled = Promise.allSettled(both);
      const isOver = { value: false };
      void settled.then(() => {
        isOver.value = true;
      });
      while (!isOver.value) {
        for (const resolve of waits.splice(0)) {
          resolve();
        }
        await sleep(10);
      }
      const results = await settled;
      const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
      assert.equal(failures.length, 1, `${begun} began`);
      assert(failures[0] instanceof ExpectedLatestMismatch || failures[0] instanceof LeaseLost);
      const winner = results[0]?.status === "fulfilled" ? "one" : "two";
      const { values } = await graphOf(saver, answers).getState(thread());
      assert.deepEqual((values as Values).notes.slice(-2), [winner, `after ${winner}`]);
      await graphOf(saver, answers).invoke({ notes: ["next"] }, thread()); // who runs again is let in
    });
  }

  test("a run that another one overtook is refused, whatever it writes", async () => {
    newThread();
    await using one = leasing();
    await using two = leasing();
    await graphOf(one, answers).invoke({ notes: ["first"] }, thread());
    const tuple = await one.getTuple(thread());
    assert(tuple);
    await one.releaseThread(threadId);
    await graphOf(two, answers).invoke({ notes: ["second"] }, thread());
    await two.releaseThread(threadId);
    await assert.rejects(one.putWrites(tuple.config, [["notes", ["late"]]], randomUUID()), ExpectedLatestMismatch);
    const again = await one.getTuple(thread());
    assert(again);
    await one.putWrites(again.config, [["notes", ["in time"]]], randomUUID());
  });

  test("a copy and a run from a named checkpoint may fork the thread", async () => {
    newThread();
    await using saver = leasing();
    const graph = graphOf(saver, answers);
    await graph.invoke({ notes: ["first"] }, thread());
    const past = (await graph.getState(thread())).config;
    await graph.invoke({ notes: ["second"] }, thread());
    const { notes } = await graph.invoke({ notes: ["another second"] }, past);
    assert.deepEqual(notes, ["first", "after first", "another second", "after another second"]);
  });

  test("a thread that was deleted is not brought back by a run of before", async () => {
    newThread();
    await using saver = leasing();
    const graph = graphOf(saver, async (state) => {
      await saver.deleteThread(threadId);
      return answers(state);
    });
    await graphOf(saver, answers).invoke({ notes: ["first"] }, thread());
    await assert.rejects(graph.invoke({ notes: ["second"] }, { ...thread(), durability: "sync" }), LeaseLost);
    assert.equal((await suite.client.loadLatest(threadId)).checkpoint, undefined);
    await graphOf(saver, answers).invoke({ notes: ["again"] }, thread());
  });

  test("an idle lease is given back", async () => {
    newThread();
    await using one = leasing({ idleMs: 50 });
    await using two = leasing();
    await graphOf(one, answers).invoke({ notes: ["first"] }, thread());
    await takeOver(two);
    await assert.rejects(graphOf(one, answers).invoke({ notes: ["second"] }, thread()), LeaseHeld);
  });

  test("a policy has limits", () => {
    assert.throws(() => leasing({ ttlMs: 500 }), RangeError);
    assert.throws(() => leasing({ idleMs: 0 }), RangeError);
  });
});
