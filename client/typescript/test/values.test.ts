import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Checkpoint,
  checkpointFromSession,
  jsonText,
  jsonValue,
  node,
  restoreSessionState,
  type SessionState,
} from "lockstitch";
import { CheckpointSchema, decode, encode, SessionStateSchema } from "lockstitch/v1";

test("JSON text is read with all digits of its integers", () => {
  for (const value of [
    null,
    true,
    "text",
    -1.5,
    9007199254740991,
    9007199254740993n,
    -(2n ** 70n),
    [1, [2n ** 64n]],
    [0, -0],
    { a: { b: [] } },
    "\u0000123",
    "\u0000\u0000",
    '"12345678901234567890"',
    { "12345678901234567890": "\\" },
    { "\u0000a": "\u0000:", 'b":': 2n ** 70n },
  ]) {
    assert.deepEqual(jsonValue(jsonText(value)), value);
  }
  assert.deepEqual(jsonValue(' { "a" : 1e400, "b" : 12345678901234567890.0 } '), {
    a: Infinity,
    b: 12345678901234567000,
  });
});

test("what is not JSON is refused both ways", () => {
  for (const value of [undefined, Number.NaN, Infinity, () => 1]) {
    assert.throws(() => jsonText(value), TypeError);
  }
  for (const text of ["", "{", "01", "'a'", "1 2", "\u000012"]) {
    assert.throws(() => jsonValue(text), SyntaxError);
  }
});

test("JSON text leaves out what is undefined, and follows toJSON, as JSON.stringify does", () => {
  const value = { a: undefined, b: new Date(0), c: "é" };
  assert.equal(jsonText(value), JSON.stringify(value));
});

test("a session becomes a checkpoint and comes back, and nothing is shared", () => {
  const session: SessionState = {
    step: 2n ** 63n - 1n,
    frontier: [node("a")],
    scheduler: { concurrencyLimit: 2n ** 64n - 1n },
    schedulerState: { versionsSeen: { a: { versions: { messages: 2n ** 64n - 1n } } } },
    state: { extra: { version: 2 ** 32 - 1, entries: { ["__proto__"]: "1" } }, custom: {} },
  };
  const before = encode(SessionStateSchema, session);
  const checkpoint = checkpointFromSession("s", session);
  const kept = encode(CheckpointSchema, checkpoint);
  session.frontier.push(node("b"));
  assert.deepEqual(encode(CheckpointSchema, checkpoint), kept);
  const read = decode<Checkpoint>(CheckpointSchema, kept);
  assert.deepEqual(encode(SessionStateSchema, restoreSessionState(read)), before);
});

test("a checkpoint without a state is not taken for an empty session", () => {
  const { state: _, ...checkpoint } = checkpointFromSession("s", { step: 1n });
  assert.throws(() => restoreSessionState(checkpoint), {
    name: "TypeError",
    message: /session "s" at step 1 has no state: .* or saved without a state/,
  });
});
