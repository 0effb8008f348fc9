/**
 * A store in this language, for tests that share sessions with Python's: `node driver.js TARGET`, with one JSON object a line on
 * stdin, `[method, ...arguments]`, and what the method returns in one line on stdout.
 */

import { createInterface } from "node:readline";
import { foldSessionSummary } from "@anthropic-ai/claude-agent-sdk";
import { LockstitchSessionStore } from "../../src/claude_agent_sdk/index.js";
import { Client } from "../../src/index.js";

type Method = (...given: unknown[]) => Promise<unknown>;

const client = new Client(process.argv[2]);
const store = new LockstitchSessionStore(client, { foldSessionSummary });

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line) as [keyof LockstitchSessionStore, ...unknown[]];
  const answer = await (store[name] as Method).apply(store, given);
  process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
}
client.close();
