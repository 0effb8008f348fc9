/** Small helpers to write checkpoints by hand. */

import type { NodeKind } from "./checkpoint.js";

/** As `expectedLatest`: there is no checkpoint yet. */
export const NONE = Object.freeze({ none: true } as const);

/** Where a graph begins. */
export const START: NodeKind = Object.freeze({ endpoint: "START" });

/** Where a graph ends. */
export const END: NodeKind = Object.freeze({ endpoint: "END" });

/** A node of the user's. `name`: 0 to 512 bytes. */
export function node(name: string): NodeKind {
  return { custom: name };
}

/**
 * A value as the JSON text that `extra`, `metadata`, `details` and `context` hold. A bigint becomes an integer, all of
 * its digits included, and -0 becomes -0.0. Throws TypeError for what JSON has no words for, such as undefined, NaN and
 * infinities.
 */
export function jsonText(value: unknown): string {
  if (typeof value === "bigint") {
    return value.toString();
  }
  if (Object.is(value, -0)) {
    return "-0.0"; // JSON.stringify drops the sign
  }
  if (Array.isArray(value)) {
    return `[${value.map(jsonText).join(",")}]`;
  }
  if (typeof value === "object" && value !== null && !("toJSON" in value)) {
    const known = Object.entries(value).filter(([, one]) => one !== undefined);
    return `{${known.map(([key, one]) => `${JSON.stringify(key)}:${jsonText(one)}`).join(",")}}`;
  }
  const text = typeof value === "number" && !Number.isFinite(value) ? undefined : JSON.stringify(value);
  if (text === undefined) {
    throw new TypeError(`JSON has no words for ${String(value)}`);
  }
  return text;
}

/** A key with its colon, a string, or a number. */
const TOKEN = /"(?:[^"\\]|\\.)*"(?:\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARK = "\u0000";

/**
 * The value of a JSON text. Integers beyond 2^53, which a JavaScript number would round, become a bigint. Throws
 * SyntaxError for what is not JSON.
 */
export function jsonValue(text: string): unknown {
  JSON.parse(text); // what follows would make some text valid that is not
  return JSON.parse(text.replace(TOKEN, marked), (_, value) => unmarked(value));
}

/** A large integer as a string behind a mark; a string that begins with the mark gets another one. Keys stay. */
function marked(token: string): string {
  if (token.endsWith(":")) {
    return token;
  }
  if (token.startsWith('"')) {
    return token.startsWith('"\\u0000') ? `"\\u0000${token.slice(1)}` : token;
  }
  const large = /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token));
  return large ? JSON.stringify(`${MARK}${token}`) : token;
}

function unmarked(value: unknown): unknown {
  if (typeof value !== "string" || !value.startsWith(MARK)) {
    return value;
  }
  return value.startsWith(MARK + MARK) ? value.slice(1) : BigInt(value.slice(1));
}
