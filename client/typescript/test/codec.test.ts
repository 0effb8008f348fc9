/** Plain objects are serialized as the generated messages are, and the types say what they hold. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type * as plain from "lockstitch";
import { InvalidArgument, Timestamp } from "lockstitch";
import * as v1 from "lockstitch/v1";
import { Draft } from "../src/draft.js";
import type { RequestOf } from "../src/wire/requests.js";

const { decode, encode, fromBinary, toBinary, create } = v1;

type Same<A, B> = [A, B] extends [B, A] ? true : false;
type Fields<T, M> = Same<keyof T, keyof RequestOf<M>>;

/** A field that a type of the client lacks, or has too many, is an error of the compiler. */
const fields: true[] = [
  true satisfies Fields<plain.Checkpoint, v1.Checkpoint>,
  true satisfies Fields<plain.VersionedState, v1.VersionedState>,
  true satisfies Fields<plain.MessagesChannel, v1.MessagesChannel>,
  true satisfies Fields<plain.Message, v1.Message>,
  true satisfies Fields<plain.ExtrasChannel, v1.ExtrasChannel>,
  true satisfies Fields<plain.ErrorsChannel, v1.ErrorsChannel>,
  true satisfies Fields<plain.ErrorEvent, v1.ErrorEvent>,
  true satisfies Fields<plain.ErrorScope, v1.ErrorScope>,
  true satisfies Fields<plain.WeaveError, v1.WeaveError>,
  true satisfies Fields<plain.CustomChannel, v1.CustomChannel>,
  true satisfies Fields<plain.CustomDelta, v1.CustomDelta>,
  true satisfies Fields<plain.BlobList, v1.BlobList>,
  true satisfies Fields<plain.TypedBlob, v1.TypedBlob>,
  true satisfies Fields<plain.NodeKind, v1.NodeKind>,
  true satisfies Fields<plain.ChannelVersions, v1.ChannelVersions>,
  true satisfies Fields<plain.PendingWrite, v1.PendingWrite>,
  true satisfies Fields<plain.SessionState, v1.SessionState>,
  true satisfies Fields<plain.StepReport, v1.StepReport>,
];

const TEXT = fc.string({ unit: "binary", maxLength: 200 });
const KEY = fc.oneof(TEXT, fc.constantFrom("", "__proto__", "constructor"));
const U64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const U32 = fc.nat(2 ** 32 - 1);
const BLOB = fc.record({ type: TEXT, data: fc.uint8Array({ maxLength: 300 }) });
const LIST = fc.record({ items: fc.array(BLOB, { maxLength: 3 }) });
const map = <T>(value: fc.Arbitrary<T>) =>
  fc.array(fc.tuple(KEY, value), { maxLength: 3 }).map((entries) => Object.fromEntries(entries) as Record<string, T>);
const TIME = fc.record({
  seconds: fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n }),
  nanos: fc.nat(999_999_999),
});
const NODE = fc.oneof(
  fc.record({ case: fc.constant("custom" as const), value: TEXT }),
  fc.record({ case: fc.constant("endpoint" as const), value: fc.constantFrom(0, 1, 2, 77) }),
  fc.constant({ case: undefined }),
);
const VALUE = fc.oneof(
  fc.record({ case: fc.constant("blob" as const), value: BLOB }),
  fc.record({ case: fc.constant("list" as const), value: LIST }),
  fc.constant({ case: undefined }),
);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

/** Some of each kind of field, the deepest ones included. */
const CHECKPOINT = fc.record({
  sessionId: TEXT,
  step: U64,
  state: optional(
    fc.record({
      extra: optional(fc.record({ version: U32, entries: map(TEXT) })),
      errors: optional(
        fc.record({
          version: U32,
          items: fc.array(
            fc.record({
              when: optional(TIME),
              scope: optional(
                fc.record({
                  scope: fc.oneof(
                    fc.record({ case: fc.constant("node" as const), value: fc.record({ kind: TEXT, step: U64 }) }),
                    fc.record({ case: fc.constant("app" as const), value: fc.constant({}) }),
                  ),
                }),
              ),
              error: fc.record({
                message: TEXT,
                cause: fc.record({ message: TEXT, cause: fc.record({ details: TEXT }) }),
              }),
              tags: fc.array(TEXT, { maxLength: 2 }),
            }),
            { maxLength: 2 },
          ),
        }),
      ),
      custom: map(fc.record({ version: TEXT, value: VALUE })),
    }),
  ),
  frontier: fc.array(fc.record({ kind: NODE }), { maxLength: 3 }),
  versionsSeen: map(fc.record({ versions: map(U64) })),
  concurrencyLimit: U64,
  createdAt: optional(TIME),
  header: optional(BLOB),
  updatedChannels: fc.array(TEXT, { maxLength: 3 }),
});

test("random checkpoints are the same bytes as generated messages", () => {
  assert(fields.every(Boolean));
  fc.assert(
    fc.property(CHECKPOINT, (given) => {
      const message = create(v1.CheckpointSchema, given as never);
      const bytes = toBinary(v1.CheckpointSchema, message);
      const read = decode<plain.Checkpoint>(v1.CheckpointSchema, bytes);
      assert.deepEqual(
        fromBinary(v1.CheckpointSchema, encode(v1.CheckpointSchema, read)),
        fromBinary(v1.CheckpointSchema, bytes),
      );
      assert.equal(read.step, message.step);
      assert.deepEqual(Object.keys(read.state?.custom ?? {}), Object.keys(message.state?.custom ?? {}));
    }),
  );
});

test("numbers of all sizes come back", () => {
  for (const index of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    const bytes = encode(v1.PendingWriteSchema, { taskId: "t", index });
    assert.equal(fromBinary(v1.PendingWriteSchema, bytes).index, index);
    assert.equal(decode<plain.PendingWrite>(v1.PendingWriteSchema, bytes).index, index);
  }
  for (const step of [0n, 127n, 128n, 2n ** 28n - 1n, 2n ** 28n, 2n ** 32n, 2n ** 53n, 2n ** 64n - 1n]) {
    const bytes = encode(v1.CheckpointSchema, { step });
    assert.equal(fromBinary(v1.CheckpointSchema, bytes).step, step);
    assert.equal(decode<plain.Checkpoint>(v1.CheckpointSchema, bytes).step, step);
  }
  assert.deepEqual(encode(v1.CheckpointSchema, { step: 7 }), encode(v1.CheckpointSchema, { step: 7n }));
});

test("what is undefined is left out, of maps as well", () => {
  const metadata = { a: undefined, b: "1" };
  const checkpoint = { sessionId: "s", step: undefined, metadata, state: { extra: { entries: metadata } } };
  const bytes = encode(v1.CheckpointSchema, {
    sessionId: "s",
    metadata: { b: "1" },
    state: { extra: { entries: { b: "1" } } },
  });
  assert.deepEqual(encode(v1.CheckpointSchema, checkpoint), bytes);
  assert.deepEqual(new Draft(checkpoint, {}).snapshot?.extra?.entries, new Map([["b", "1"]]));
});

test("fields of a newer contract stay where they were", () => {
  const unknown = [0xc0, 0x3e, 5, 0xd2, 0x3e, 1, 0xff, 0xdd, 0x3e, 1, 2, 3, 4]; // a varint, bytes, 32 bits
  const node = new Uint8Array([0x12, 1, 0x61, ...unknown]);
  const bytes = new Uint8Array([0x3a, node.length, ...node, ...unknown]);
  const read = decode<plain.Checkpoint>(v1.CheckpointSchema, bytes);
  assert.equal(read.frontier[0]?.custom, "a");
  assert.deepEqual(encode(v1.CheckpointSchema, read), bytes);
  assert.deepEqual(encode(v1.CheckpointSchema, { ...read, frontier: [{ ...read.frontier[0] }] }), bytes);
  assert.notDeepEqual(encode(v1.CheckpointSchema, { frontier: [{ custom: "a" }] }), bytes);
});

test("times are exact to the nanosecond", () => {
  for (const [seconds, nanos] of [
    [0n, 0],
    [-1n, 1],
    [-62_135_596_800n, 999_999],
    [253_402_300_799n, 999_999_999],
  ] as const) {
    const bytes = toBinary(v1.CheckpointSchema, create(v1.CheckpointSchema, { createdAt: { seconds, nanos } }));
    const { createdAt } = decode<plain.Checkpoint>(v1.CheckpointSchema, bytes);
    assert(createdAt instanceof Timestamp);
    assert.equal(createdAt.getTime(), Number(seconds) * 1000 + Math.floor(nanos / 1e6));
    assert.equal(createdAt.nanoseconds, nanos % 1e6);
    assert.deepEqual(encode(v1.CheckpointSchema, { createdAt }), bytes);
  }
});

test("what a field cannot hold is refused with the field's name", () => {
  for (const [checkpoint, field] of [
    [{ step: 1.5 }, "step"],
    [{ step: "1" }, "step"],
    [{ sessionId: 1 }, "session_id"],
    [{ createdAt: 1 }, "created_at"],
    [{ createdAt: new Date("never") }, "created_at"],
    [{ frontier: {} }, "frontier"],
    [{ frontier: [{ custom: "a" }, { custom: "a", endpoint: "END" }] }, "frontier[1].endpoint"],
    [{ frontier: [{ endpoint: "MIDDLE" }] }, "frontier[0].endpoint"],
    [{ metadata: [] }, "metadata"],
    [{ state: { custom: { x: { blob: { data: "text" } } } } }, 'state.custom["x"].blob.data'],
    [
      { state: { errors: { items: [{ error: { cause: { message: "\ud83d" } } }] } } },
      "state.errors.items[0].error.cause.message",
    ],
  ] as const) {
    assert.throws(
      () => encode(v1.CheckpointSchema, checkpoint as never),
      (error) => error instanceof InvalidArgument && error.field === field,
      field,
    );
  }
});
