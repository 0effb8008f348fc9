/** What is stored is the same, bit for bit, whether a client sends deltas or full states. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { Client, jsonText, type VersionedState } from "lockstitch";
import { decode, fromBinary, SaveRequestSchema, VersionedStateSchema } from "lockstitch/v1";
import { snapshot } from "../src/delta.js";
import { Draft } from "../src/draft.js";
import { Server } from "./server.js";

const KEYS = ["a", "b", "", "é", "12"];

/** A number below `end`, the same sequence for the same seed. */
function numbers(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

function item(pick: (end: number) => number) {
  return { type: "bytes", data: new Uint8Array(Array.from({ length: pick(40) }, () => pick(256))) };
}

/** Change a state in some way, most often as workflows do. */
function change(state: VersionedState, pick: (end: number) => number): void {
  const key = KEYS[pick(KEYS.length)] as string;
  const messages = { version: pick(3), items: [{ role: "user", content: `${pick(1000)}`.repeat(pick(30)) }] };
  const extra = { version: pick(3), entries: { [key]: jsonText(pick(1000)) } };
  const error = { error: { message: `${pick(9)}`, details: "" }, tags: ["x"], context: "" };
  const errors = { version: pick(3), items: [error] };
  const value = pick(2) ? { blob: item(pick) } : { list: { items: [item(pick)] } };
  const custom = { [key]: { version: `${pick(9)}`, ...value } };
  const channel = state.custom[key];
  const kinds = [
    () => (state.messages ? state.messages.items.push(...messages.items) : Object.assign(state, { messages })),
    () => (state.errors ? state.errors.items.push(...errors.items) : Object.assign(state, { errors })),
    () => (state.extra ? Object.assign(state.extra.entries, extra.entries) : Object.assign(state, { extra })),
    () => Object.assign(state.custom, custom),
    () => channel?.list?.items.push(item(pick)),
    () => delete state.custom[key],
    () => delete state.extra?.entries[key],
    () => state.messages?.items.pop(),
    () => state.messages && Object.assign(state.messages, { version: pick(9) }),
    () => state.extra && Object.assign(state.extra, { version: pick(9) }),
    () => pick(4) === 0 && delete state.messages,
  ];
  kinds[pick(kinds.length)]?.();
}

test("random sessions come back as they were saved", { timeout: 300_000 }, async () => {
  await using server = await Server.start();
  for (let seed = 1; seed <= 4; seed++) {
    using client = new Client(server.target);
    const pick = numbers(seed);
    const sessionId = randomUUID();
    const state: VersionedState = { custom: {} };
    for (let step = 0n; step < 60n; step++) {
      for (let times = pick(3); times >= 0; times--) {
        change(state, pick);
      }
      await client.save({ sessionId, step, state });
      const { checkpoint: loaded } = await client.loadLatest(sessionId);
      assert.deepEqual(sorted(loaded?.state), sorted(state), `seed ${seed}, step ${step}`);
    }
  }
});

test("a conversation that grows is sent as what is new, and the rest of the save goes with it", () => {
  const said = (count: number) =>
    Array.from({ length: count }, (_, number) => ({ role: "user", content: `${number}`.repeat(99) }));
  const of = (count: number) =>
    new Draft(
      { sessionId: "s", step: BigInt(count), state: { messages: { version: count, items: said(count) } } },
      { expectedLatest: 1n, leaseToken: 5n, ttlMs: 1500 },
    );
  const before = of(50).snapshot;
  assert(before);
  const bytes = of(51).deltaFrom({ checkpointId: "base", revision: 2n ** 64n - 1n, snapshot: before });
  assert(bytes && bytes.length < 400);
  const request = fromBinary(SaveRequestSchema, bytes);
  assert.equal(request.checkpoint?.state, undefined);
  assert.equal(request.checkpoint?.step, 51n);
  assert.deepEqual([request.baseCheckpointId, request.baseRevision], ["base", 2n ** 64n - 1n]);
  assert.deepEqual([request.leaseToken, request.ttl?.nanos], [5n, 500_000_000]);
  assert.equal(request.delta?.messages?.append.length, 1);
  assert.equal(request.delta?.messages?.version, 51);
});

test("no delta starts from what it replaces, and none carries what a newer contract has", () => {
  const draft = new Draft(
    { sessionId: "s", step: 1n, state: { messages: { items: [{ content: "x".repeat(999) }] } } },
    {},
  );
  const base = { checkpointId: draft.checkpointId, revision: 1n, snapshot: draft.snapshot as never };
  assert.equal(draft.deltaFrom(base), undefined);
  assert(snapshot({ messages: {} }));
  // Field 99, a varint.
  const newer = decode<VersionedState>(VersionedStateSchema, new Uint8Array([0x98, 0x06, 1]));
  assert.equal(snapshot(newer), undefined);
  const full = fromBinary(SaveRequestSchema, new Draft({ sessionId: "s", state: newer }, {}).full());
  assert.deepEqual(
    full.checkpoint?.state?.$unknown?.map(({ no }) => no),
    [99],
  );
});

/** A state with its maps in order, which the wire does not promise. */
function sorted(state: VersionedState | undefined): unknown {
  const ordered = (map: Record<string, unknown> = {}) =>
    Object.entries(map).sort(([one], [other]) => (one < other ? -1 : 1));
  return [
    state?.messages,
    state?.errors,
    state?.extra?.version,
    ordered(state?.extra?.entries),
    ordered(state?.custom),
  ];
}
