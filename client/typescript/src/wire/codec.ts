/**
 * Messages of the contract as plain objects, serialized and read without generated messages in between.
 *
 * A codec is made from the descriptor of a message. An object has the fields of the message under their names in camelCase. The
 * fields of a oneof are fields of the object, of which one is there at most. A Timestamp is a Date, a Duration a number of
 * milliseconds, an enum the name of its value. Fields that the descriptor does not have are kept under a symbol, and written again.
 */

import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { DURATION, TIMESTAMP } from "./time.js";
import { checkedText, enumeration, InvalidValue, type Scalar, scalarOf, within } from "./values.js";

type Fields = Record<string, unknown>;

/** The serialized fields of an object that this client does not know. The same symbol in all copies of this module. */
const UNKNOWN = Symbol.for("lockstitch.unknown");
/** A writer of more bytes than this is not used again, so that its memory is given back. */
const KEPT_BYTES = 512 * 1024;

/** How the values of a field are written behind its tag, and read. */
interface ValueCodec {
  readonly wire: WireType;
  write(writer: BinaryWriter, value: unknown): void;
  read(reader: BinaryReader, before?: unknown): unknown;
}

interface Field {
  readonly name: string;
  readonly localName: string;
  write(writer: BinaryWriter, value: unknown): void;
  /** By wire type: a field that comes with another one is unknown. */
  readonly wire: WireType;
  read(reader: BinaryReader, message: Fields): void;
  /** The other fields of its oneof. */
  readonly rivals: readonly string[];
}

const CODECS = new Map<DescMessage, Codec<object>>();

/** The codec of a message. `T`: the objects that it makes. `I`: those that it takes. */
export function codecOf<T extends object, I extends object = T>(descriptor: DescMessage): Codec<T, I> {
  const known = CODECS.get(descriptor) ?? new Codec<object>(descriptor);
  CODECS.set(descriptor, known);
  return known as unknown as Codec<T, I>;
}

/** Whether an object has fields that this client does not know. */
export function hasUnknown(message: object | undefined): boolean {
  return message !== undefined && UNKNOWN in message;
}

/** Calls `write` with a writer, and gives what it has written. */
export function written(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = spare ?? new BinaryWriter();
  spare = undefined; // if this fails, the writer holds a part of a message
  write(writer);
  const bytes = writer.finish();
  spare = bytes.length <= KEPT_BYTES ? writer : undefined;
  return bytes;
}

let spare: BinaryWriter | undefined;

export class Codec<T extends object, I extends object = T> {
  readonly #descriptor: DescMessage;
  #fields: Field[] | undefined;
  readonly #byNumber: Field[] = [];
  #initial: Fields = {};
  #containers: [name: string, isList: boolean][] = [];

  constructor(descriptor: DescMessage) {
    this.#descriptor = descriptor;
  }

  /** Throws InvalidArgument, with the field, for a value that a field cannot hold. `root`: a name for the message in errors. */
  encode(message: I, root = ""): Uint8Array {
    try {
      return written((writer) => this.write(writer, message));
    } catch (error) {
      throw error instanceof InvalidValue ? error.asArgument(root) : error;
    }
  }

  decode(bytes: Uint8Array): T {
    const reader = new BinaryReader(bytes);
    return this.read(reader, bytes.length);
  }

  /** Write the fields, without a length. Throws InvalidValue. */
  write(writer: BinaryWriter, message: I): void {
    const fields = this.#fields ?? this.#compile();
    if (typeof message !== "object" || message === null) {
      throw new InvalidValue("must be an object");
    }
    let place = 0;
    try {
      for (; place < fields.length; place++) {
        const field = fields[place] as Field;
        const value = (message as Fields)[field.localName];
        if (value !== undefined && value !== null) {
          field.write(writer, value);
          checkAlone(field, message as Fields);
        }
      }
    } catch (error) {
      throw within(error, `.${(fields[place] as Field).name}`);
    }
    const unknown = (message as { [UNKNOWN]?: Uint8Array })[UNKNOWN];
    if (unknown !== undefined) {
      writer.raw(unknown);
    }
  }

  /** Read the fields up to a position. `before`: what an earlier part of the message has held. */
  read(reader: BinaryReader, end: number, before?: unknown): T {
    if (this.#fields === undefined) {
      this.#compile();
    }
    if (end > reader.len) {
      throw new RangeError("the message ends too early");
    }
    const message = (before ?? this.#empty()) as Fields;
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = this.#byNumber[tag >>> 3];
      if (field !== undefined && (tag & 7) === field.wire) {
        field.read(reader, message);
        for (const rival of field.rivals) {
          delete message[rival];
        }
      } else {
        keep(message, tag, reader.skip(tag & 7, tag >>> 3));
      }
    }
    return message as T;
  }

  #empty(): Fields {
    const message = { ...this.#initial };
    for (const [name, isList] of this.#containers) {
      message[name] = isList ? [] : {};
    }
    return message;
  }

  #compile(): Field[] {
    const descriptors = this.#descriptor.fields.toSorted((one, other) => one.number - other.number);
    const fields = descriptors.map(fieldOf);
    descriptors.forEach((descriptor, place) => {
      this.#byNumber[descriptor.number] = fields[place] as Field;
      if (descriptor.fieldKind === "list" || descriptor.fieldKind === "map") {
        this.#initial[descriptor.localName] = undefined; // its place among the others
        this.#containers.push([descriptor.localName, descriptor.fieldKind === "list"]);
      } else if (isImplicit(descriptor)) {
        this.#initial[descriptor.localName] = scalarFor(descriptor)?.initial;
      }
    });
    this.#fields = fields;
    return fields;
  }
}

function checkAlone({ rivals, localName }: Field, message: Fields): void {
  for (const rival of rivals) {
    if (message[rival] !== undefined && message[rival] !== null) {
      throw new InvalidValue(`excludes ${rival}: give ${localName} or ${rival}, not both`);
    }
  }
}

function keep(message: { [UNKNOWN]?: Uint8Array }, tag: number, bytes: Uint8Array): void {
  const before = message[UNKNOWN] ?? new Uint8Array();
  message[UNKNOWN] = written((writer) => writer.raw(before).uint32(tag).raw(bytes));
}

function fieldOf(descriptor: DescField): Field {
  const { name, localName, number, oneof } = descriptor;
  const rivals = (oneof?.fields ?? []).filter((other) => other !== descriptor).map((other) => other.localName);
  const common = { name, localName, rivals };
  if (descriptor.fieldKind === "map") {
    return { ...common, ...mapField(number, localName, valueCodec(descriptor)) };
  }
  const value = valueCodec(descriptor);
  if (descriptor.fieldKind === "list") {
    if (value.wire !== WireType.LengthDelimited) {
      throw new Error(`the client does not know lists of numbers, such as ${name}`);
    }
    return { ...common, ...listField(number, localName, value) };
  }
  const isLeftOut = isImplicit(descriptor) ? scalarFor(descriptor)?.isInitial : undefined;
  const tag = tagOf(number, value.wire);
  return {
    ...common,
    wire: value.wire,
    write(writer, given) {
      if (!isLeftOut?.(given)) {
        writer.uint32(tag);
        value.write(writer, given);
      }
    },
    read(reader, message) {
      message[localName] = value.read(reader, message[localName]);
    },
  };
}

type FieldKind = Pick<Field, "wire" | "write" | "read">;

function listField(number: number, localName: string, value: ValueCodec): FieldKind {
  const tag = tagOf(number, value.wire);
  return {
    wire: value.wire,
    write(writer, given) {
      if (!Array.isArray(given)) {
        throw new InvalidValue("must be an array");
      }
      let place = 0;
      try {
        for (; place < given.length; place++) {
          writer.uint32(tag);
          value.write(writer, given[place]);
        }
      } catch (error) {
        throw within(error, `[${place}]`);
      }
    },
    read(reader, message) {
      (message[localName] as unknown[]).push(value.read(reader));
    },
  };
}

/** The entries of a map are messages with a key and a value. All keys of the contract are text. */
function mapField(number: number, localName: string, value: ValueCodec): FieldKind {
  const tag = tagOf(number, WireType.LengthDelimited);
  const [keyTag, valueTag] = [tagOf(1, WireType.LengthDelimited), tagOf(2, value.wire)];
  return {
    wire: WireType.LengthDelimited,
    write(writer, given) {
      if (typeof given !== "object" || given === null || Array.isArray(given)) {
        throw new InvalidValue("must be an object");
      }
      for (const [key, item] of Object.entries(given)) {
        if (item === undefined) {
          continue; // as in an object with fields
        }
        writer.uint32(tag).fork().uint32(keyTag).string(checkedText(key, true)).uint32(valueTag);
        try {
          value.write(writer, item);
        } catch (error) {
          throw within(error, `[${JSON.stringify(key)}]`);
        }
        writer.join();
      }
    },
    read(reader, message) {
      const end = endOf(reader);
      let key = "";
      let found: unknown;
      while (reader.pos < end) {
        const entryTag = reader.uint32();
        if (entryTag === keyTag) {
          key = reader.string();
        } else if (entryTag === valueTag) {
          found = value.read(reader, found);
        } else {
          reader.skip(entryTag & 7, entryTag >>> 3);
        }
      }
      put(message[localName] as Fields, key, found ?? value.read(new BinaryReader(NOTHING)));
    },
  };
}

/** A value of length 0, or 0 as a varint. */
const NOTHING = new Uint8Array([0]);

/** Not by assignment: that would set the prototype under one key. */
function put(map: Fields, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    map[key] = value;
  }
}

function valueCodec(descriptor: DescField): ValueCodec {
  return descriptor.message ? messageCodec(descriptor.message) : (scalarFor(descriptor) as Scalar);
}

function messageCodec(descriptor: DescMessage): ValueCodec {
  const codec = inner(descriptor);
  return {
    wire: WireType.LengthDelimited,
    write(writer, value) {
      writer.fork();
      codec.write(writer, value as object);
      writer.join();
    },
    read: (reader, before) => codec.read(reader, endOf(reader), before),
  };
}

function inner(descriptor: DescMessage) {
  switch (descriptor.typeName) {
    case "google.protobuf.Timestamp":
      return TIMESTAMP;
    case "google.protobuf.Duration":
      return DURATION;
    default:
      return codecOf(descriptor);
  }
}

function scalarFor(descriptor: DescField): Scalar | undefined {
  if (descriptor.enum) {
    return enumeration(descriptor.enum.values);
  }
  return descriptor.scalar === undefined ? undefined : scalarOf(descriptor.scalar);
}

/** Whether the field is always there, and not written while it has its initial value. */
function isImplicit({ fieldKind, presence }: DescField): boolean {
  return (fieldKind === "scalar" || fieldKind === "enum") && presence === IMPLICIT;
}

/** Of google.protobuf.FeatureSet.FieldPresence. */
const IMPLICIT = 2;

function endOf(reader: BinaryReader): number {
  const length = reader.uint32();
  return reader.pos + length;
}

function tagOf(number: number, wire: WireType): number {
  return ((number << 3) | wire) >>> 0;
}
