/** LangGraph's own tests of a checkpoint saver, run by vitest; `langgraph.test.ts` starts them and counts. `TEST_STORE`: the store. */

import { deltaChannelHistoryTests, validate } from "@langchain/langgraph-checkpoint-validation";
import { Client } from "lockstitch";
import { LockstitchSaver } from "lockstitch/langgraph";
import { Server } from "../server.js";

let server: Server;
let client: Client;

const initializer = {
  checkpointerName: "LockstitchSaver",
  beforeAllTimeout: 120_000,
  async beforeAll() {
    server = await Server.start({ store: process.env.TEST_STORE });
    client = new Client(server.target);
  },
  async afterAll() {
    client.close();
    await server[Symbol.asyncDispose]();
  },
  /** Each is to find nothing of the others. */
  async createCheckpointer() {
    for await (const { sessionId } of client.listSessions()) {
      await client.deleteSessions([sessionId], { tombstoneMs: 0 });
    }
    return new LockstitchSaver(client);
  },
};

validate(initializer);
deltaChannelHistoryTests(initializer);
