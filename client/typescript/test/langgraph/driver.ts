/**
 * A graph in this language, for tests that share threads with Python's: `node driver.js TARGET`, with one JSON object a line on
 * stdin and one a line on stdout. Python's graph of the same nodes is in tests/polyglot/test_langgraph.py.
 */

import { createInterface } from "node:readline";
import { AIMessage, type BaseMessage, HumanMessage } from "@langchain/core/messages";
import { Annotation, Command, interrupt, messagesStateReducer, Send, START, StateGraph } from "@langchain/langgraph";
import { Client, jsonText, jsonValue } from "lockstitch";
import { LockstitchSaver } from "lockstitch/langgraph";

const State = Annotation.Root({
  messages: Annotation<BaseMessage[]>({ reducer: messagesStateReducer, default: () => [] }),
  notes: Annotation<string[]>({ reducer: (old, more) => old.concat(more), default: () => [] }),
  size: Annotation<number>(),
  data: Annotation<unknown>(),
});
type Values = typeof State.State;

function plan({ messages }: Values) {
  const call = { name: "look", args: { deep: [1, null, { é: true }] }, id: "call-1", type: "tool_call" as const };
  const answer = new AIMessage({ id: `ai-${messages.length}`, content: "planned by js", tool_calls: [call] });
  return { messages: [answer], notes: ["plan by js"], size: messages.length + 0.5 };
}

function work(state: unknown) {
  return { notes: [`work ${(state as { part: number }).part} by js`] };
}

function ask() {
  return { notes: [`js heard ${interrupt("go on?")}`] };
}

const client = new Client(process.argv[2]);
const graph = new StateGraph(State)
  .addNode("plan", plan)
  .addNode("work", work)
  .addNode("ask", ask)
  .addEdge(START, "plan")
  .addConditionalEdges("plan", () => [1, 2].map((part) => new Send("work", { part })), ["work"])
  .addEdge("work", "ask")
  .compile({ checkpointer: new LockstitchSaver(client) });

interface Request {
  op: "invoke" | "state" | "history";
  thread_id: string;
  checkpoint_id?: string;
  text?: string;
  data?: unknown;
  resume?: string;
  until?: "work";
}

async function answerTo({ op, thread_id, checkpoint_id, text, data, resume, until }: Request): Promise<unknown> {
  const config = { configurable: { thread_id, ...(checkpoint_id && { checkpoint_id }) } };
  if (op === "history") {
    const ids: string[] = [];
    for await (const { config: found } of graph.getStateHistory(config)) {
      ids.push(found.configurable?.checkpoint_id);
    }
    return ids;
  }
  if (op === "invoke") {
    const input = text === undefined ? null : { messages: [new HumanMessage({ id: "human", content: text })], data };
    const command = resume === undefined ? input : new Command({ resume });
    await graph.invoke(command as Parameters<typeof graph.invoke>[0], {
      ...config,
      ...(until && { interruptBefore: [until] }),
    });
  }
  const { values, next, tasks, config: found } = await graph.getState(config);
  const { messages, ...others } = values as Values;
  return {
    ...others,
    messages: messages.map(({ type, id, content, tool_calls }: BaseMessage & { tool_calls?: unknown }) => ({
      type,
      id,
      content,
      tool_calls: tool_calls ?? [],
    })),
    next,
    interrupts: tasks.flatMap((task) => task.interrupts.map(({ value }) => value)),
    checkpoint_id: found.configurable?.checkpoint_id,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${jsonText(await answerTo(jsonValue(line) as Request))}\n`);
}
client.close();
