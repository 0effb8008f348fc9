/** The store of the Claude Agent SDK, with the SDK's own functions and a real server; the SDK's store in memory is the model. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  deleteSession,
  foldSessionSummary,
  getSessionInfo,
  getSessionMessages,
  getSubagentMessages,
  InMemorySessionStore,
  listSessions,
  listSubagents,
  renameSession,
  type SessionKey,
  type SessionStore,
  type SessionStoreEntry,
} from "@anthropic-ai/claude-agent-sdk";
import { LockstitchSessionStore } from "../../src/claude_agent_sdk/index.js";
import { Client, SessionDeleted } from "../../src/index.js";
import { Postgres } from "../postgres.js";
import { Server } from "../server.js";

const DIRECTORY = "/srv/project";

/** A message as the SDK writes it to a transcript. */
function entry(
  sessionId: string,
  text: string,
  parentUuid: string | null = null,
): SessionStoreEntry & { uuid: string } {
  return {
    type: "user",
    uuid: randomUUID(),
    parentUuid,
    sessionId,
    timestamp: new Date().toISOString(),
    cwd: DIRECTORY,
    isSidechain: false,
    userType: "external",
    version: "1.0.0",
    message: { role: "user", content: text },
  };
}

describe("a session store on SQLite", { timeout: 300_000 }, () => {
  stores(() => undefined);
});

describe("a session store on Postgres", { timeout: 300_000 }, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await Postgres.start();
  });
  stores(() => postgres.url);
  after(() => postgres[Symbol.asyncDispose]());
});

/** The tests, on the store that a URL names; undefined: SQLite. */
function stores(url: () => string | undefined): void {
  let server: Server;
  let client: Client;

  before(async () => {
    server = await Server.start({ store: url() });
    client = new Client(server.target);
  });
  after(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
  });

  const begin = (): SessionStore & LockstitchSessionStore => new LockstitchSessionStore(client, { foldSessionSummary });
  const newKey = (): SessionKey => ({ projectKey: `project/${randomUUID()}`, sessionId: randomUUID() });

  test("does what the SDK's store in memory does", async () => {
    const [store, model] = [begin(), new InMemorySessionStore()];
    const key = newKey();
    const other = { ...key, sessionId: "another%2F one é" };
    const sub = { ...key, subpath: "subagents/agent-1" };
    const steps: ((target: SessionStore) => Promise<unknown> | undefined)[] = [];
    const append = (where: SessionKey, entries: SessionStoreEntry[]) =>
      steps.push((target) => target.append(where, structuredClone(entries)));
    append(key, [entry(key.sessionId, "first é🧵"), { type: "custom-title", customTitle: "A title", sessionId: "s" }]);
    append(key, []);
    append(key, [entry(key.sessionId, "second"), { type: "tag", tag: "t", odd: [1.5, null, { deep: ["\ud83d"] }] }]);
    append(other, [entry(other.sessionId, "of another")]);
    append(sub, [entry(key.sessionId, "by an agent")]);
    append({ ...key, subpath: "workflows/w/agent-2" }, [entry(key.sessionId, "by another agent")]);
    steps.push((target) => target.delete?.({ ...key, subpath: "workflows/w/agent-2" }));
    append(sub, [entry(key.sessionId, "again")]);
    steps.push((target) => target.delete?.(other));
    for (const [number, step] of steps.entries()) {
      await step(store);
      await step(model);
      for (const fresh of [store, begin()]) {
        assert.deepEqual(await view(fresh, [key, other, sub]), await view(model, [key, other, sub]), `step ${number}`);
      }
    }
    await assert.rejects(store.append({ ...key, subpath: "" }, [entry("s", "x")]), /subpath is empty/);
    await assert.rejects(store.append(other, [entry("s", "late")]), SessionDeleted);
  });

  test("serves the SDK's functions", async () => {
    const store = begin();
    const sessionId = randomUUID();
    const seed = await projectKey();
    const key = { projectKey: seed, sessionId };
    const first = entry(sessionId, "Where is my parcel?");
    await store.append(key, [first, entry(sessionId, "And now?", first.uuid)]);
    await store.append({ ...key, subpath: "subagents/agent-a1" }, [
      { ...entry(sessionId, "sub"), agentId: "a1", isSidechain: true },
    ]);
    const options = { dir: DIRECTORY, sessionStore: store };
    await renameSession(sessionId, "Parcels", options);
    const listed = (await listSessions(options)).find((session) => session.sessionId === sessionId);
    assert.equal(listed?.summary, "Parcels");
    assert.equal((await getSessionInfo(sessionId, options))?.customTitle, "Parcels");
    const messages = await getSessionMessages(sessionId, options);
    assert.deepEqual(messages.map(({ uuid }) => uuid).at(0), first.uuid);
    assert.equal(messages.length, 2);
    assert.deepEqual(await listSubagents(sessionId, options), ["a1"]);
    assert.equal((await getSubagentMessages(sessionId, "a1", options)).length, 1);
    await deleteSession(sessionId, options);
    assert.equal(await store.load(key), null);
  });

  test("stores an entry once, however often it is appended", async () => {
    const store = begin();
    const key = newKey();
    const entries = [entry(key.sessionId, "one"), entry(key.sessionId, "two")];
    await store.append(key, entries);
    await store.append(key, entries);
    await begin().append(key, [...entries, entry(key.sessionId, "three")]);
    assert.equal((await store.load(key))?.length, 3);
  });

  test("loses and doubles nothing when many append at once", async () => {
    const key = newKey();
    const work = async (name: string) => {
      using mine = new Client(server.target);
      const store = new LockstitchSessionStore(mine, { foldSessionSummary });
      for (let number = 0; number < 20; number++) {
        await store.append(key, [{ type: "note", name, number }]);
        await store.append({ ...key, subpath: `subagents/${name}` }, [{ type: "note", number }]);
      }
    };
    const names = ["a", "b", "c", "d"];
    await Promise.all(names.map(work));
    const entries = (await begin().load(key)) ?? [];
    assert.equal(entries.length, 80);
    for (const name of names) {
      const numbers = entries.filter((each) => each.name === name).map(({ number }) => number);
      assert.deepEqual(numbers, [...Array(20).keys()]);
    }
    assert.deepEqual(
      (await begin().listSubkeys(key)).sort(),
      names.map((name) => `subagents/${name}`),
    );
  });

  test("an append that found no server is stored once when it is repeated", async () => {
    await using own = await Server.start({ store: url() });
    using mine = new Client(own.target, { timeoutMs: 1500 });
    const store = new LockstitchSessionStore(mine, { foldSessionSummary });
    const key = newKey();
    await store.append(key, [{ type: "note", number: 0 }]);
    await own.freeze();
    await assert.rejects(store.append(key, [{ type: "note", number: 1 }]));
    own.signal("SIGCONT");
    await mine.waitReady({ timeoutMs: 60_000 });
    await store.append(key, [{ type: "note", number: 1 }]);
    await own.stop("SIGKILL");
    await own.start();
    await store.append(key, [{ type: "note", number: 2 }]);
    assert.deepEqual(
      (await store.load(key))?.map(({ number }) => number),
      [0, 1, 2],
    );
  });

  test("an append stores what is appended", async () => {
    const store = begin();
    const key = newKey();
    let bytes = 0;
    for (let count = 0; count < 1000; count++) {
      const added = entry(key.sessionId, "x".repeat(200));
      bytes += JSON.stringify(added).length;
      await store.append(key, [added]);
    }
    const { storedBytes } = await client.getSession(`claude/${key.projectKey.replace("/", "%2F")}/${key.sessionId}`);
    assert(Number(storedBytes) <= 1.5 * bytes + 400 * 1000, `${storedBytes} of ${bytes}`);
  });

  test("leaves sessions of other programs alone", async () => {
    const key = newKey();
    const sessionId = `claude/${key.projectKey.replace("/", "%2F")}/${key.sessionId}`;
    await client.save({ sessionId, step: 1n });
    await assert.rejects(begin().append(key, [entry("s", "x")]), /belongs to another program/);
  });

  /** The key that the SDK has for a directory. */
  async function projectKey(): Promise<string> {
    let key = "";
    const spy: SessionStore = {
      append: async () => {},
      load: async () => null,
      listSessions: async (projectKey) => {
        key = projectKey;
        return [];
      },
    };
    await listSessions({ dir: DIRECTORY, sessionStore: spy });
    return key;
  }
}

/** What a store has, without what differs between stores. */
async function view(store: SessionStore, keys: SessionKey[]): Promise<unknown> {
  const [{ projectKey, sessionId }] = keys as [SessionKey];
  const sessions = (await store.listSessions?.(projectKey)) ?? [];
  const summaries = (await store.listSessionSummaries?.(projectKey)) ?? [];
  assert(sessions.every(({ mtime }) => Number.isInteger(mtime) && mtime > 0));
  const byId = (one: { sessionId: string }, other: { sessionId: string }) => (one.sessionId < other.sessionId ? -1 : 1);
  return {
    transcripts: await Promise.all(keys.map((key) => store.load(key))),
    sessions: sessions.map((session) => session.sessionId).sort(),
    summaries: summaries.map(({ sessionId: id, data }) => ({ sessionId: id, data })).sort(byId),
    subkeys: (await store.listSubkeys?.({ projectKey, sessionId }))?.sort(),
  };
}
