/** A server and a client for all tests of a suite. */

import { after, before } from "node:test";
import { Client } from "lockstitch";
import { Server } from "./server.js";

export interface Connected {
  readonly server: Server;
  readonly client: Client;
}

/** Started before the suite's first test, and stopped after its last. */
export function connected(): Connected {
  const suite: { server?: Server; client?: Client } = {};
  before(async () => {
    suite.server = await Server.start();
    suite.client = new Client(suite.server.target);
  });
  after(async () => {
    suite.client?.close();
    await suite.server?.[Symbol.asyncDispose]();
  });
  return suite as Connected;
}
