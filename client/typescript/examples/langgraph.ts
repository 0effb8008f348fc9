/**
 * A LangGraph.js graph that survives kill -9:
 *
 *     node langgraph.js TARGET THREAD_ID [MS_PER_NODE]
 *
 * Start it on any machine, kill it at any moment, start it again: the thread continues with the node that was killed.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, START, StateGraph } from "@langchain/langgraph";
import { Client } from "lockstitch";
import { LockstitchSaver } from "lockstitch/langgraph";

const [target, threadId = "demo", msPerNode = "100"] = process.argv.slice(2);

const State = Annotation.Root({
  notes: Annotation<string[]>({ reducer: (old, more) => old.concat(more), default: () => [] }),
});

/** A node that asks a model, in a real program. */
function work(name: string) {
  return async () => {
    console.log(name, "begins");
    await sleep(Number(msPerNode));
    return { notes: [`${name}: done`] };
  };
}

const client = new Client(target);
const graph = new StateGraph(State)
  .addNode("plan", work("plan"))
  .addNode("search", work("search"))
  .addNode("draft", work("draft"))
  .addNode("review", work("review"))
  .addEdge(START, "plan")
  .addEdge("plan", "search")
  .addEdge("search", "draft")
  .addEdge("draft", "review")
  .compile({ checkpointer: new LockstitchSaver(client) });
const thread = { configurable: { thread_id: threadId } };

const { next } = await graph.getState(thread);
if (next.length > 0) {
  console.log("continues with", next.join());
}
// null: no new input. "sync": a node begins when the checkpoint before it is durable.
const input = next.length > 0 ? null : { notes: ["write about lockstitch seams"] };
const { notes } = await graph.invoke(input, { ...thread, durability: "sync" });
console.log("notes:", notes.join("; "));
client.close();
