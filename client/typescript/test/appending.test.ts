/** Appends of unknown outcome, with a real server that hangs for a while. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client } from "lockstitch";
import { Server } from "./server.js";
import { SwallowingProxy } from "./swallowing.js";

const HEADER = { type: "test", data: new Uint8Array() };
const items = (text: string) => [{ type: "text", data: new TextEncoder().encode(text) }];

async function lines(client: Client, sessionId: string): Promise<string[]> {
  const list = (await client.loadLatest(sessionId)).checkpoint?.state?.custom.lines?.list;
  assert(list);
  return list.items.map(({ data }) => new TextDecoder().decode(data));
}

describe("an append of unknown outcome", { timeout: 300_000 }, () => {
  for (const isStored of [true, false]) {
    test(`is appended once by a retry, after others were: ${isStored ? "stored" : "not stored"}`, async () => {
      await using server = await Server.start();
      await using proxy = await SwallowingProxy.start(server.target);
      using client = new Client(proxy.target, { timeoutMs: 1000 });
      using direct = new Client(server.target);
      const appender = client.appender("s", { header: HEADER });
      await appender.append("lines", items("first"));
      proxy.swallow(isStored ? "answers" : "all");
      await assert.rejects(appender.append("lines", items("unknown")));
      if (isStored) {
        while (!(await lines(direct, "s")).includes("unknown")) {
          // it is on its way
        }
      }
      for (const text of ["one", "two", "three"]) {
        await untilItWorks(() => appender.append("lines", items(text)));
      }
      assert(appender.isNeeded);
      await appender.append("lines", items("unknown"));
      const stored = await lines(direct, "s");
      const between = ["one", "two", "three"];
      assert.deepEqual(stored, isStored ? ["first", "unknown", ...between] : ["first", ...between, "unknown"]);
      assert(!appender.isNeeded);
      await appender.append("lines", items("unknown")); // it is settled: this is another one
      assert.deepEqual(await lines(direct, "s"), [...stored, "unknown"]);
    });
  }
});

/** Appends of unknown outcome are repeated: each is stored once. */
async function untilItWorks(append: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await append();
      return;
    } catch {
      // the connection is being replaced
    }
  }
}
