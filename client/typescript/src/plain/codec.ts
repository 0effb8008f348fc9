/** How one value of a plain state is written. */

import type { TypedBlob } from "../checkpoint.js";
import { at, exactText, exactValue, type Path } from "./json.js";

/** Writes and reads the values of a state: its lists item by item, its objects key by key. */
export interface Codec {
  /** Throws, with the path, where `decode` would not give back an equal value. */
  encode(value: unknown, path: Path): TypedBlob;

  /** Throws, with the path, where the value cannot be read. */
  decode(blob: TypedBlob, path: Path): unknown;
}

const TYPE = "json";
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * JSON text: null, booleans, numbers, bigints beyond 2^53, strings, arrays, and plain objects. A key whose value is
 * undefined is left out.
 */
export const JSON_CODEC: Codec = Object.freeze({
  encode(value: unknown, path: Path): TypedBlob {
    return { type: TYPE, data: ENCODER.encode(exactText(value, path)) };
  },

  decode({ type, data }: TypedBlob, path: Path): unknown {
    if (type !== TYPE) {
      throw new TypeError(`${at(path)} is stored as "${type}", not as "${TYPE}": give its codec`);
    }
    return exactValue(DECODER.decode(data), path);
  },
});
