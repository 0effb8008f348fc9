/** Plain states as channels, and back. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type CustomChannel, JSON_CODEC } from "lockstitch";
import { appended, read, SPLIT_KEYS, withKnownBytes, write } from "../src/plain/layout.js";
import { STATES, VALUES } from "./states.js";

const texts = (state: object) =>
  Object.fromEntries(
    Object.entries(write(state, JSON_CODEC).custom).map(([name, { blob, list }]) => {
      const text = ({ data }: { data: Uint8Array }) => new TextDecoder().decode(data);
      return [name, list ? list.items.map(text) : blob ? text(blob) : ""];
    }),
  );

test("a state comes back as it was", () => {
  fc.assert(
    fc.property(STATES, (state) => {
      const before = structuredClone(state);
      assert.deepStrictEqual(read(write(state, JSON_CODEC), JSON_CODEC), before);
      assert.deepStrictEqual(state, before);
    }),
  );
});

test("appending is writing the longer list", () => {
  fc.assert(
    fc.property(STATES, fc.array(VALUES, { maxLength: 3 }), (state, items) => {
      const written = appended(write({ ...state, log: [1] }, JSON_CODEC), "log", items, JSON_CODEC);
      assert.deepStrictEqual(written, write({ ...state, log: [1, ...items] }, JSON_CODEC));
    }),
  );
});

test("where values stand", () => {
  const state = { messages: [{ role: "user" }], cart: { "a/b": 1, items: [1, 2] }, "x~y": "text", none: {}, no: [] };
  assert.deepEqual(texts(state), {
    messages: ['{"role":"user"}'],
    "cart/a~1b": "1",
    "cart/items": ["1", "2"],
    "x~0y": '"text"',
    none: "{}",
    no: [],
  });
  const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, at]));
  assert.equal(Object.keys(texts({ index: keys(SPLIT_KEYS) })).length, 100);
  assert.deepEqual(Object.keys(texts({ index: keys(SPLIT_KEYS + 1) })), ["index"]);
  assert.deepEqual(Object.keys(texts({ index: { ["k".repeat(512)]: 1, b: 2 } })), ["index"]);
});

test("numbers are written so that every language reads the same", () => {
  const numbers = [-0, 2 ** 53, -1e20, 1e21, 2n ** 53n, -(10n ** 30n), 0.1, 1];
  assert.deepEqual(texts({ numbers }), {
    numbers: [
      "-0.0",
      "9.007199254740992e+15",
      "-1e+20",
      "1e+21",
      "9007199254740992",
      "-1000000000000000000000000000000",
      "0.1",
      "1",
    ],
  });
});

test("keys whose value is undefined are left out", () => {
  assert.deepEqual(texts({ a: undefined, b: { c: undefined, d: 1 }, e: [{ f: undefined }] }), {
    "b/d": "1",
    e: ["{}"],
  });
});

class Money {
  readonly amount = 1;
}
const loop: unknown[] = [];
loop.push(loop);

for (const [state, error] of [
  [{ a: { b: [1, { c: Number.NaN }] } }, /^value\.a\.b\[1\]\.c is NaN, which JSON does not have/],
  [{ a: [undefined] }, /^value\.a\[0\] is undefined/],
  [{ a: new Array(2) }, /^value\.a\[0\] is undefined/],
  [{ a: new Date(0) }, /^value\.a is of class Date/],
  [{ a: { b: new Map() } }, /^value\.a\.b is of class Map/],
  [{ a: [new Money()] }, /^value\.a\[0\] is of class Money/],
  [{ a: new Uint8Array(1) }, /^value\.a is of class Uint8Array/],
  [{ a: () => 1 }, /^value\.a is a function/],
  [{ a: { [Symbol("s")]: 1 } }, /^value\.a has the key Symbol\(s\)/],
  [{ a: 5n }, /^value\.a is the bigint 5, which would come back as a number/],
  [{ a: { "b c": "\ud83d" } }, /^value\.a\["b c"\] has "\\ud83d", half of a surrogate pair/],
  [{ a: { "\udc00": 1 } }, /^value\.a has "\\udc00"/],
  [{ a: loop }, /nested more than 500 deep/],
  [{ ["k".repeat(513)]: 1 }, /the keys have more than 512 bytes together/],
] as [object, RegExp][]) {
  test(`refuses with its path: ${error.source}`, () => {
    assert.throws(() => write(state, JSON_CODEC), { name: "TypeError", message: error });
  });
}

const blob = (text: string, type = "json") => ({ type, data: new TextEncoder().encode(text) });

for (const [text, error] of [
  ['{"a":[1e999]}', /^value\.k\.a\[0\]: 1e999 is beyond the range/],
  ["0.1000000000000000000000001", /^value\.k: 0\.1000000000000000000000001 has more digits/],
  ["1e-999", /^value\.k: 1e-999 has more digits/],
  ['{"a":{"b":1,"b":2}}', /^value\.k\.a\.b stands twice/],
  ["{", /^value\.k is not stored as JSON/],
] as [string, RegExp][]) {
  test(`refuses to read ${text}`, () => {
    assert.throws(() => JSON_CODEC.decode(blob(text), ["k"]), { name: "TypeError", message: error });
  });
}

test("reads what other writers may have written", () => {
  const text = ' {"b" : [1.0, -0.0, 1E2, 9007199254740993, true , null, "\\u0000\\"]"] , "10":1, "9" : {}, "a":[ ] } ';
  const expected = { b: [1, -0, 100, 9007199254740993n, true, null, '\u0000"]'], "9": {}, "10": 1, a: [] };
  assert.deepStrictEqual(JSON_CODEC.decode(blob(text), []), expected);
});

test("channels of others and values of other codecs are refused", () => {
  const written = write({ a: {}, b: { c: 1 } }, JSON_CODEC);
  const one = { version: "", blob: blob("1") };
  for (const name of ["b/c/d", "a/x", "b~", "b~2/c", "b"]) {
    const custom = { ...written.custom, [name]: one };
    const error = { message: `channel "${name}" is not one of a plain state` };
    assert.throws(() => read({ ...written, custom }, JSON_CODEC), name === "b" ? /channel "b\/c"/ : error);
  }
  assert.throws(
    () => read({ ...written, extra: { version: 0, entries: {} } }, JSON_CODEC),
    /messages, extra and errors/,
  );
  const other = { version: "", list: { items: [blob("1", "msgpack")] } };
  assert.throws(
    () => read({ ...written, custom: { a: other } }, JSON_CODEC),
    /^TypeError: value\.a\[0\] is stored as "msgpack", not as "json"/,
  );
});

test("values that have not changed keep the bytes of another writer", () => {
  const former = write({}, JSON_CODEC);
  const list: CustomChannel = { version: "", list: { items: [blob("1.0"), blob("2.0")] } };
  former.custom["m/list"] = list;
  former.custom["m/x"] = { version: "", blob: blob('{"b": 1e2}') };
  const state = read(former, JSON_CODEC) as { m: { list: number[]; x: object } };
  const again = withKnownBytes(write(state, JSON_CODEC), former, JSON_CODEC);
  assert.deepStrictEqual(again.custom, former.custom);
  state.m.list[1] = 3;
  state.m.list.push(4);
  const changed = withKnownBytes(write(state, JSON_CODEC), former, JSON_CODEC).custom["m/list"];
  assert.deepStrictEqual(changed?.list?.items, [blob("1.0"), blob("3"), blob("4")]);
});
