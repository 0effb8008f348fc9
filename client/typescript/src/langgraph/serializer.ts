/** Values of LangGraph as JSON that Python's saver reads, too, with `serde="json"`; and back. */

import { randomUUID } from "node:crypto";
import { JsonPlusSerializer } from "@langchain/langgraph-checkpoint";

const JSON_TYPE = "json";
const UNDEFINED = '{"lc":2,"type":"undefined"}';
const PYTHON_MESSAGES = '"id":["langchain","schema","messages",';
const STRING_OR_INTEGER = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONG_INTEGER = /^-?\d{16,}$/;
/** Stands before the digits of a bigint, in a string; no string of a program has it. */
const MARK = `lockstitch-bigint-${randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, "g");

/**
 * LangGraph's own serializer, with what another language needs: keys whose value is undefined are left out, integers
 * beyond 2^53 are bigints, and messages that Python stored are messages.
 */
export class JsonSerializer extends JsonPlusSerializer {
  /** The type and the bytes of a value. */
  override async dumpsTyped(value: unknown): Promise<[string, Uint8Array]> {
    if (value instanceof Uint8Array) {
      return ["bytes", value];
    }
    return [JSON_TYPE, new TextEncoder().encode(await this.#text(value))];
  }

  /** The value that was dumped. Throws TypeError for what only Python reads. */
  override async loadsTyped(type: string, data: Uint8Array | string): Promise<unknown> {
    switch (type) {
      case "null":
        return null;
      case "bytes":
      case "bytearray":
        return data;
      case JSON_TYPE:
        return this.#value(typeof data === "string" ? data : new TextDecoder("utf-8", { fatal: true }).decode(data));
      default:
        throw new TypeError(
          `a value is stored as "${type}", which only Python reads: give the Python saver serde="json", and keep to values ` +
            "that JSON has",
        );
    }
  }

  async #text(value: unknown): Promise<string> {
    const text = new TextDecoder().decode(await this.#dumps(value));
    const whole = text.includes(UNDEFINED) ? JSON.stringify(withoutUndefined(JSON.parse(text), true)) : text;
    // A number beyond 2^53 is a float: as digits it would be read as an integer.
    const floats = /\d{16}/.test(whole) ? whole.replace(STRING_OR_INTEGER, asFloat) : whole;
    return floats.includes(MARK) ? floats.replace(MARKED, "$1") : floats;
  }

  async #dumps(value: unknown): Promise<Uint8Array> {
    try {
      return (await super.dumpsTyped(value))[1];
    } catch (error) {
      if (!(error instanceof TypeError)) {
        throw error;
      }
      return (await super.dumpsTyped(withMarks(value)))[1]; // JSON.stringify knows no bigint
    }
  }

  async #value(text: string): Promise<unknown> {
    const known = text.includes(PYTHON_MESSAGES)
      ? text.replaceAll(PYTHON_MESSAGES, '"id":["langchain_core","messages",')
      : text;
    if (!/\d{16}/.test(known)) {
      return super.loadsTyped(JSON_TYPE, known);
    }
    const marked = known.replace(STRING_OR_INTEGER, asMark);
    const value = await super.loadsTyped(JSON_TYPE, marked);
    return marked.includes(MARK) ? withBigints(value) : value;
  }
}

function asFloat(token: string): string {
  return isLarge(token) ? Number(token).toExponential() : token;
}

function asMark(token: string): string {
  return isLarge(token) ? `"${MARK}${token}"` : token;
}

function isLarge(token: string): boolean {
  return LONG_INTEGER.test(token) && !Number.isSafeInteger(Number(token));
}

/** Without the keys that had no value. An item of a list, and a value by itself, stay undefined. */
function withoutUndefined(value: unknown, stays: boolean): unknown {
  if (typeof value !== "object" || value === null) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map((item) => withoutUndefined(item, true));
  }
  if (!stays && isUndefinedRecord(value)) {
    return undefined;
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutUndefined(item, false)]));
}

function isUndefinedRecord(value: object): boolean {
  return "lc" in value && value.lc === 2 && "type" in value && value.type === "undefined";
}

function withMarks(value: unknown): unknown {
  if (typeof value === "bigint") {
    return `${MARK}${value}`;
  }
  if (Array.isArray(value)) {
    return value.map(withMarks);
  }
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withMarks(item)]));
  }
  return value;
}

/** The same value, with bigints for marked strings; it is this caller's alone. */
function withBigints(value: unknown): unknown {
  if (typeof value === "string") {
    return value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
  }
  if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      const found = withBigints(item);
      if (found !== item) {
        (value as Record<string, unknown>)[key] = found;
      }
    }
  }
  return value;
}
