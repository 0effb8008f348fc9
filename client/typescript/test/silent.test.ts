/** A connection that brings nothing any more, while new ones work: a proxy that has forgotten it, say. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, DeadlineExceeded, Unavailable } from "lockstitch";
import { Server } from "./server.js";
import { SwallowingProxy } from "./swallowing.js";

const TIMEOUT = { timeoutMs: 2000 };
const PATIENT = { timeoutMs: 600_000 };

describe("over a connection that has gone silent", { timeout: 300_000 }, () => {
  /** Save on and on; return after the first save that began after the silence and was acknowledged: how many failed. */
  async function saveUntilItWorksAgain(client: Client, sessionId: string, isSilent: () => boolean): Promise<number> {
    for (let step = 0n, failed = 0; ; step++) {
      const began = isSilent();
      try {
        await client.save({ sessionId, step }, TIMEOUT);
        if (began) {
          return failed;
        }
      } catch (error) {
        assert(error instanceof DeadlineExceeded || error instanceof Unavailable, String(error));
        failed += 1;
      }
    }
  }

  for (const savers of [1, 16]) {
    test(`saves go on over another one: ${savers} at a time`, async () => {
      await using server = await Server.start();
      await using proxy = await SwallowingProxy.start(server.target);
      using client = new Client(proxy.target);
      await client.save({ sessionId: "first" });
      let isSilent = false;
      const saving = Array.from({ length: savers }, (_, number) =>
        saveUntilItWorksAgain(client, `s-${number}`, () => isSilent),
      );
      await sleep(300);
      assert(proxy.swallow() > 0);
      isSilent = true;
      const failed = await Promise.all(saving);
      // One save of each runs out of time; the next is sent again over the new connection. A busy machine may take longer.
      assert(Math.max(...failed) <= 4, String(failed));
    });
  }

  test("a load finds another one", async () => {
    await using server = await Server.start();
    await using proxy = await SwallowingProxy.start(server.target);
    using client = new Client(proxy.target);
    await client.save({ sessionId: "a" });
    proxy.swallow();
    await assert.rejects(client.loadLatest("a", TIMEOUT), DeadlineExceeded);
    assert((await client.loadLatest("a", PATIENT)).checkpoint);
  });

  test("what waits meanwhile is sent over the new one, in the order of the calls", async () => {
    await using server = await Server.start();
    await using proxy = await SwallowingProxy.start(server.target);
    using client = new Client(proxy.target);
    await client.save({ sessionId: "a" });
    proxy.swallow();
    const patient = Array.from({ length: 8 }, (_, number) =>
      client.save({ sessionId: "a", step: 1n, metadata: { number: String(number) } }, PATIENT),
    );
    await assert.rejects(client.loadLatest("a", TIMEOUT), DeadlineExceeded);
    await Promise.all(patient);
    assert.deepEqual((await client.loadLatest("a")).checkpoint?.metadata, { number: "7" });
  });
});
