/** Requests that cannot be serialized as they are: refused with the field, instead of changed or thrown as they come. */

import {
  type DescField,
  type DescMessage,
  type Message,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { InvalidArgument } from "./errors.js";

/** U+FFFD, which stands in serialized text for what was no text. */
const REPLACEMENT = Buffer.from("\ufffd");
const SURROGATE = /\p{Surrogate}/u;

const RANGES: Partial<Record<ScalarType, [least: bigint, most: bigint]>> = {
  [ScalarType.UINT64]: [0n, 2n ** 64n - 1n],
  [ScalarType.INT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.UINT32]: [0n, 2n ** 32n - 1n],
  [ScalarType.INT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SINT32]: [-(2n ** 31n), 2n ** 31n - 1n],
};

type Fields = Record<string, unknown>;

/** A message as bytes. Throws InvalidArgument, with the field, for half of a surrogate pair and for a number out of range. */
export function serialized<S extends DescMessage>(schema: S, message: MessageShape<S>): Uint8Array {
  return checked(schema, message, "", () => {
    const bytes = toBinary(schema, message);
    return [bytes, mayBeIllFormed(bytes)];
  });
}

/**
 * What `work` makes of a message. Throws as `serialized` does.
 *
 * path: of the message in the request. work: gives the result, and whether text may have been changed on the way.
 */
export function checked<T>(schema: DescMessage, message: Message, path: string, work: () => [T, boolean]): T {
  try {
    const [result, mayBeChanged] = work();
    if (mayBeChanged) {
      check(schema, message as unknown as Fields, path);
    }
    return result;
  } catch (error) {
    check(schema, message as unknown as Fields, path);
    throw error;
  }
}

/** Whether serialized text may have been half of a surrogate pair before; it is quick, and may be wrong about a yes. */
export function mayBeIllFormed(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(REPLACEMENT);
}

function check(schema: DescMessage, message: Fields, path: string): void {
  for (const field of schema.fields) {
    const value = presentValue(field, message);
    if (value !== undefined) {
      checkField(field, value, path === "" ? field.name : `${path}.${field.name}`);
    }
  }
}

function presentValue(field: DescField, message: Fields): unknown {
  if (!field.oneof) {
    return message[field.localName];
  }
  const chosen = message[field.oneof.localName] as { case?: string; value?: unknown };
  return chosen.case === field.localName ? chosen.value : undefined;
}

function checkField(field: DescField, value: unknown, path: string): void {
  if (field.fieldKind === "list") {
    for (const [index, item] of (value as unknown[]).entries()) {
      checkValue(field, item, `${path}[${index}]`);
    }
  } else if (field.fieldKind === "map") {
    for (const [key, item] of Object.entries(value as Fields)) {
      checkText(key, `a key of ${path}`);
      checkValue(field, item, `${path}[${JSON.stringify(key)}]`);
    }
  } else {
    checkValue(field, value, path);
  }
}

function checkValue({ message, scalar }: DescField, value: unknown, path: string): void {
  if (message) {
    check(message, value as Fields, path);
  } else if (typeof value === "string") {
    checkText(value, path);
  } else if (scalar !== undefined && (typeof value === "bigint" || Number.isInteger(value))) {
    const [least, most] = RANGES[scalar] ?? [];
    const number = BigInt(value as bigint | number);
    if (least !== undefined && most !== undefined && (number < least || number > most)) {
      throw invalid(path, `is ${value}: it must be ${least} to ${most}`);
    }
  }
}

function checkText(text: string, path: string): void {
  const half = SURROGATE.exec(text);
  if (half) {
    const code = half[0].charCodeAt(0).toString(16);
    throw invalid(path, `has "\\u${code}", half of a surrogate pair: it must be Unicode text`);
  }
}

function invalid(field: string, problem: string): InvalidArgument {
  const details = { code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", metadata: { field } } as const;
  return new InvalidArgument(`${field} ${problem}`, details);
}
