/** Points in time and lengths of time. */

import { type BinaryReader, type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Timestamp } from "../timestamp.js";
import { InvalidValue } from "./values.js";

/** Field numbers of google.protobuf.Timestamp and google.protobuf.Duration. */
const SECONDS = 1;
const NANOS = 2;

interface Parts {
  seconds: number;
  nanos: number;
}

/** A google.protobuf.Timestamp as a Date. */
export const TIMESTAMP = {
  write(writer: BinaryWriter, value: unknown): void {
    const ms = value instanceof Date ? value.getTime() : Number.NaN;
    if (Number.isNaN(ms)) {
      throw new InvalidValue("is no valid Date");
    }
    const seconds = Math.floor(ms / 1000);
    const beyond = value instanceof Timestamp ? value.nanoseconds : 0;
    writeParts(writer, { seconds, nanos: (ms - seconds * 1000) * 1e6 + beyond });
  },

  read(reader: BinaryReader, end: number): Timestamp {
    const { seconds, nanos } = readParts(reader, end);
    const ms = Math.floor(nanos / 1e6);
    return new Timestamp(seconds * 1000 + ms, nanos - ms * 1e6);
  },
};

/** A google.protobuf.Duration as milliseconds, whose fractions are rounded. */
export const DURATION = {
  write(writer: BinaryWriter, value: unknown): void {
    if (!Number.isFinite(value)) {
      throw new InvalidValue(`is ${value}: it must be a number of milliseconds`);
    }
    const ms = Math.round(value as number);
    const seconds = Math.trunc(ms / 1000);
    writeParts(writer, { seconds, nanos: (ms - seconds * 1000) * 1e6 });
  },

  read(reader: BinaryReader, end: number): number {
    const { seconds, nanos } = readParts(reader, end);
    return seconds * 1000 + nanos / 1e6;
  },
};

function writeParts(writer: BinaryWriter, { seconds, nanos }: Parts): void {
  if (seconds !== 0) {
    writer.tag(SECONDS, WireType.Varint).int64(BigInt(seconds));
  }
  if (nanos !== 0) {
    writer.tag(NANOS, WireType.Varint).int32(nanos);
  }
}

function readParts(reader: BinaryReader, end: number): Parts {
  const parts: Parts = { seconds: 0, nanos: 0 };
  while (reader.pos < end) {
    const [field, wire] = reader.tag();
    if (field === SECONDS && wire === WireType.Varint) {
      parts.seconds = Number(reader.int64());
    } else if (field === NANOS && wire === WireType.Varint) {
      parts.nanos = reader.int32();
    } else {
      reader.skip(wire, field);
    }
  }
  return parts;
}
