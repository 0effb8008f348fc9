/**
 * Another process that runs a graph under leases, for the tests of leases: `node worker.js TARGET THREAD NAME RUNS`.
 *
 * RUNS "wait": one run, whose node says "waits" and goes on after a line on stdin; then the name of the error, or "done". A
 * number: as many runs, each of which adds what goes in and what the node says to the thread's notes. A refused run is
 * repeated; then "done", and how many were refused.
 */

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, START, StateGraph } from "@langchain/langgraph";
import { Client, ExpectedLatestMismatch, LeaseHeld } from "lockstitch";
import { LockstitchSaver } from "lockstitch/langgraph";

const [target, thread_id, name, runs] = process.argv.slice(2) as [string, string, string, string];

const State = Annotation.Root({
  notes: Annotation<string[]>({ reducer: (old, more) => old.concat(more), default: () => [] }),
});

async function work({ notes }: typeof State.State) {
  if (runs === "wait") {
    console.log("waits");
    await once(process.stdin, "data");
  }
  return { notes: [`after ${notes.at(-1)}`] };
}

const client = new Client(target, { timeoutMs: 120_000 });
const saver = new LockstitchSaver(client, { lease: { ttlMs: 3000, holder: name } });
const graph = new StateGraph(State).addNode("work", work).addEdge(START, "work").compile({ checkpointer: saver });
const run = (note: string) => graph.invoke({ notes: [note] }, { configurable: { thread_id }, durability: "sync" });

async function runAll(count: number): Promise<number> {
  let refused = 0;
  for (let number = 0; number < count; ) {
    try {
      await run(`${name} ${number}`);
      number += 1;
    } catch (error) {
      if (!(error instanceof LeaseHeld || error instanceof ExpectedLatestMismatch)) {
        throw error;
      }
      refused += 1;
    }
    await saver.releaseThread(thread_id);
    await sleep(Math.random() * 20); // not the same one every time
  }
  return refused;
}

if (runs === "wait") {
  console.log(
    await run(name).then(
      () => "done",
      (error: Error) => error.name,
    ),
  );
} else {
  console.log("done", await runAll(Number(runs)));
}
await saver.close();
client.close();
process.stdin.destroy();
