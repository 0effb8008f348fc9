/** Single values of fields: how they are checked, written and read. */

import { ScalarType } from "@bufbuild/protobuf";
import { type BinaryReader, type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { InvalidArgument } from "../errors.js";

/** A value that its field cannot hold. `path`: the parts of the field's name, the innermost one last. */
export class InvalidValue extends Error {
  readonly problem: string;
  readonly path: string[] = [];
  /** Whether it is the key of an entry, not its value. */
  readonly isKey: boolean;

  constructor(problem: string, isKey = false) {
    super(problem);
    this.problem = problem;
    this.isKey = isKey;
  }

  /** The error that callers see. `root`: the name of the message, "" for a request. */
  asArgument(root: string): InvalidArgument {
    const path = (root + this.path.join("")).replace(/^\./, "");
    const field = this.isKey ? `a key of ${path}` : path;
    const details = { code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", metadata: { field } } as const;
    return new InvalidArgument(`${field} ${this.problem}`, details);
  }
}

/** The error with the name of the field, or the place in it, where it has come from. */
export function within(error: unknown, part: string): unknown {
  if (error instanceof InvalidValue) {
    error.path.unshift(part);
  }
  return error;
}

/** How the values of one type stand in serialized messages. */
export interface Scalar {
  readonly wire: WireType;
  /** Throws InvalidValue. */
  write(writer: BinaryWriter, value: unknown): void;
  read(reader: BinaryReader): unknown;
  /** What a field of it holds if it is not there. */
  readonly initial: unknown;
  isInitial(value: unknown): boolean;
}

const SURROGATE = /\p{Surrogate}/u;
const MAX_U64 = 2n ** 64n - 1n;
const MAX_U32 = 2 ** 32 - 1;
const [MIN_I32, MAX_I32] = [-(2 ** 31), 2 ** 31 - 1];
const SMALL = 2 ** 28; // as a varint, less than 32 bits of payload

/** Throws InvalidValue for what is no Unicode text. */
export function checkedText(value: unknown, isKey = false): string {
  if (typeof value !== "string") {
    throw new InvalidValue(`is ${shown(value)}: it must be a string`, isKey);
  }
  if (!value.isWellFormed()) {
    const code = SURROGATE.exec(value)?.[0].charCodeAt(0).toString(16);
    throw new InvalidValue(`has "\\u${code}", half of a surrogate pair: it must be Unicode text`, isKey);
  }
  return value;
}

/** A bigint, or a number that is an integer. */
function checkedInteger(value: unknown, least: bigint | number, most: bigint | number): bigint | number {
  const isInteger = typeof value === "bigint" || Number.isSafeInteger(value);
  if (!isInteger || (value as bigint) < least || (value as bigint) > most) {
    throw new InvalidValue(`is ${shown(value)}: it must be an integer from ${least} to ${most}`);
  }
  return value as bigint | number;
}

function shown(value: unknown): string {
  const isShort = ["number", "bigint", "boolean", "undefined"].includes(typeof value) || value === null;
  return isShort ? String(value) : `of type ${Array.isArray(value) ? "array" : typeof value}`;
}

const TEXT: Scalar = {
  wire: WireType.LengthDelimited,
  write: (writer, value) => void writer.string(checkedText(value)),
  read: (reader) => reader.string(),
  initial: "",
  isInitial: (value) => value === "",
};

const BYTES: Scalar = {
  wire: WireType.LengthDelimited,
  write(writer, value) {
    if (!(value instanceof Uint8Array)) {
      throw new InvalidValue(`is ${shown(value)}: it must be a Uint8Array`);
    }
    writer.bytes(value);
  },
  read: (reader) => reader.bytes(),
  initial: new Uint8Array(),
  isInitial: (value) => value instanceof Uint8Array && value.length === 0,
};

const BOOLEAN: Scalar = {
  wire: WireType.Varint,
  write(writer, value) {
    if (typeof value !== "boolean") {
      throw new InvalidValue(`is ${shown(value)}: it must be a boolean`);
    }
    writer.bool(value);
  },
  read: (reader) => reader.bool(),
  initial: false,
  isInitial: (value) => value === false,
};

const U64: Scalar = {
  wire: WireType.Varint,
  write(writer, value) {
    const integer = checkedInteger(value, 0n, MAX_U64);
    if (integer < SMALL) {
      writer.uint32(Number(integer));
    } else {
      writer.uint64(BigInt(integer));
    }
  },
  read: (reader) => reader.uint64(),
  initial: 0n,
  isInitial: (value) => value === 0n || value === 0,
};

const FIXED_U64: Scalar = {
  ...U64,
  wire: WireType.Bit64,
  write: (writer, value) => void writer.fixed64(BigInt(checkedInteger(value, 0n, MAX_U64))),
  read: (reader) => reader.fixed64(),
};

const U32: Scalar = {
  wire: WireType.Varint,
  write: (writer, value) => void writer.uint32(Number(checkedInteger(value, 0, MAX_U32))),
  read: (reader) => reader.uint32(),
  initial: 0,
  isInitial: (value) => value === 0,
};

const I32: Scalar = {
  wire: WireType.Varint,
  write: (writer, value) => void writer.int32(Number(checkedInteger(value, MIN_I32, MAX_I32))),
  read: (reader) => reader.int32(),
  initial: 0,
  isInitial: (value) => value === 0,
};

const S32: Scalar = {
  ...I32,
  write: (writer, value) => void writer.sint32(Number(checkedInteger(value, MIN_I32, MAX_I32))),
  read: (reader) => reader.sint32(),
};

const SCALARS: Partial<Record<ScalarType, Scalar>> = {
  [ScalarType.STRING]: TEXT,
  [ScalarType.BYTES]: BYTES,
  [ScalarType.BOOL]: BOOLEAN,
  [ScalarType.UINT64]: U64,
  [ScalarType.FIXED64]: FIXED_U64,
  [ScalarType.UINT32]: U32,
  [ScalarType.INT32]: I32,
  [ScalarType.SINT32]: S32,
};

/** Throws Error for a type that the contract has not had so far. */
export function scalarOf(type: ScalarType): Scalar {
  const scalar = SCALARS[type];
  if (scalar === undefined) {
    throw new Error(`the client does not know the type ${ScalarType[type]} of a field`);
  }
  return scalar;
}

/** An enumeration, whose values are their names. One that is not known is its number, as text. */
export function enumeration(values: readonly { localName: string; number: number }[]): Scalar {
  const names = new Map(values.map(({ localName, number }) => [number, localName]));
  const numbers = new Map(values.map(({ localName, number }) => [localName, number]));
  const initial = names.get(0);
  return {
    wire: WireType.Varint,
    write(writer, value) {
      const number = numbers.get(value as string) ?? (/^-?\d+$/.test(String(value)) ? Number(value) : undefined);
      if (number === undefined) {
        const known = [...numbers.keys()].filter((name) => name !== initial);
        throw new InvalidValue(`is ${JSON.stringify(value)}: it must be one of ${known.join(", ")}`);
      }
      writer.int32(number);
    },
    read(reader) {
      const number = reader.int32();
      return names.get(number) ?? String(number);
    },
    initial,
    isInitial: (value) => value === initial,
  };
}
