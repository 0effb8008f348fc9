/**
 * What changed between two states, as the contract's StateDelta, serialized.
 *
 * States are compared as serialized bytes: a list has grown if its old bytes are a prefix of its new ones. That is
 * exact, unknown fields of items included. A delta is put together from the very bytes that differ; whatever it cannot
 * carry is no delta at all.
 */

import { BinaryReader, type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { CustomChannel, ExtrasChannel, Init, VersionedState } from "./checkpoint.js";
import { hasUnknown } from "./wire/codec.js";
import { customChannelCodec, errorsCodec, extrasCodec, messagesCodec } from "./wire/messages.js";
import { checkedText } from "./wire/values.js";

/** Field numbers of VersionedState, and of StateDelta. */
const MESSAGES = 1;
const EXTRA = 2;
const ERRORS = 3;
const CUSTOM = 4;
const REMOVED_CUSTOM = 5;

/** A channel, serialized, and where in it the field `version` ends. */
interface ListPart {
  bytes: Uint8Array;
  items: number;
}

interface ExtraPart {
  bytes: Uint8Array;
  version: number;
  entries: ReadonlyMap<string, string>;
}

/** `kind`: the field number of the value: 0 none, 2 a blob, 3 a list. `value`: where its field begins. */
interface CustomPart {
  bytes: Uint8Array;
  value: number;
  kind: number;
}

/** A state as it was at one moment, in the form that is cheap to compare with another. */
export interface Snapshot {
  /** Bytes of the serialized state, or a little less. */
  size: number;
  messages: ListPart | undefined;
  extra: ExtraPart | undefined;
  errors: ListPart | undefined;
  custom: ReadonlyMap<string, CustomPart>;
}

/** undefined: a state that a delta could neither start from nor lead to. Throws what a codec throws. */
export function snapshot(state: Init<VersionedState>): Snapshot | undefined {
  const { messages, extra, errors, custom: channels = {} } = state;
  if (hasUnknown(state) || hasUnknown(messages) || hasUnknown(extra) || hasUnknown(errors)) {
    return undefined;
  }
  const custom = new Map<string, CustomPart>();
  for (const [name, channel] of Object.entries(channels)) {
    if (channel === undefined) {
      continue;
    }
    if (hasUnknown(channel) || hasUnknown(channel.list)) {
      return undefined;
    }
    custom.set(checkedText(name, true), customPart(channel));
  }
  const parts = {
    messages: messages && listPart(messagesCodec.encode(messages)),
    extra: extra && extraPart(extra),
    errors: errors && listPart(errorsCodec.encode(errors)),
    custom,
  };
  let size = sizeOf(parts.messages) + sizeOf(parts.extra) + sizeOf(parts.errors);
  for (const part of custom.values()) {
    size += sizeOf(part);
  }
  return { size, ...parts };
}

function sizeOf(part: { bytes: Uint8Array } | undefined): number {
  return part?.bytes.length ?? 0;
}

/** @internal Write the VersionedState of which a snapshot was taken. */
export function writeState(writer: BinaryWriter, { messages, extra, errors, custom }: Snapshot): void {
  embed(writer, MESSAGES, messages?.bytes);
  embed(writer, EXTRA, extra?.bytes);
  embed(writer, ERRORS, errors?.bytes);
  for (const [name, part] of custom) {
    entry(writer, CUSTOM, name, part.bytes);
  }
}

/** @internal Write the StateDelta that leads from one state to the other. False: there is none, and what was written is of no use. */
export function writeDelta(writer: BinaryWriter, old: Snapshot, now: Snapshot): boolean {
  const isExpressible =
    channelDelta(writer, MESSAGES, old.messages, now.messages, grown) &&
    channelDelta(writer, EXTRA, old.extra, now.extra, changedEntries) &&
    channelDelta(writer, ERRORS, old.errors, now.errors, grown);
  if (!isExpressible) {
    return false;
  }
  for (const [name, part] of now.custom) {
    if (!customDelta(writer, name, old.custom.get(name), part)) {
      return false;
    }
  }
  for (const name of old.custom.keys()) {
    if (!now.custom.has(name)) {
      writer.tag(REMOVED_CUSTOM, WireType.LengthDelimited).string(name);
    }
  }
  return true;
}

/** Write what changed in one channel. False: it cannot be written. */
function channelDelta<P extends { bytes: Uint8Array }>(
  writer: BinaryWriter,
  field: number,
  old: P | undefined,
  now: P | undefined,
  change: (writer: BinaryWriter, old: P | undefined, now: P) => boolean,
): boolean {
  if (now === undefined || (old && equal(old.bytes, now.bytes))) {
    return now !== undefined || old === undefined;
  }
  writer.tag(field, WireType.LengthDelimited).fork();
  const isWritten = change(writer, old, now);
  writer.join();
  return isWritten;
}

/** A MessagesDelta or an ErrorsDelta: the version, and the items that are new, all of whose fields have the same numbers. */
function grown(writer: BinaryWriter, old: ListPart | undefined, now: ListPart): boolean {
  const before = old ? old.bytes.length - old.items : 0;
  const end = now.items + before;
  if (old && !(end <= now.bytes.length && equal(old.bytes.subarray(old.items), now.bytes.subarray(now.items, end)))) {
    return false;
  }
  writer.raw(now.bytes.subarray(0, now.items)).raw(now.bytes.subarray(end));
  return true;
}

/** An ExtrasDelta. */
function changedEntries(writer: BinaryWriter, old: ExtraPart | undefined, now: ExtraPart): boolean {
  writer.raw(now.bytes.subarray(0, now.version));
  for (const [key, value] of now.entries) {
    if (old?.entries.get(key) !== value) {
      entry(writer, 2, key, value);
    }
  }
  for (const key of old?.entries.keys() ?? []) {
    if (!now.entries.has(key)) {
      writer.tag(3, WireType.LengthDelimited).string(key);
    }
  }
  return true;
}

/** Write a CustomDelta, if anything changed. False: it cannot be written. */
function customDelta(writer: BinaryWriter, name: string, old: CustomPart | undefined, now: CustomPart): boolean {
  if (old && equal(old.bytes, now.bytes)) {
    return true;
  }
  const version = now.bytes.subarray(0, now.value);
  if (old && old.kind === now.kind && equal(old.bytes.subarray(old.value), now.bytes.subarray(now.value))) {
    entry(writer, CUSTOM, name, version);
    return true;
  }
  if (now.kind === 0) {
    return false; // a delta cannot take a value away
  }
  const more = old?.kind === 3 && now.kind === 3 ? appended(content(old), content(now)) : undefined;
  if (more === undefined) {
    entry(writer, CUSTOM, name, now.bytes); // a blob, or the whole list
    return true;
  }
  writer.tag(CUSTOM, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(name);
  writer.tag(2, WireType.LengthDelimited).fork().raw(version).tag(4, WireType.LengthDelimited).bytes(more);
  writer.join().join();
  return true;
}

function appended(old: Uint8Array, now: Uint8Array): Uint8Array | undefined {
  return equal(old, now.subarray(0, old.length)) ? now.subarray(old.length) : undefined;
}

/** The items of a custom list, without what stands before them. */
function content(part: CustomPart): Uint8Array {
  const reader = new BinaryReader(part.bytes.subarray(part.value));
  reader.tag();
  return reader.bytes();
}

function listPart(bytes: Uint8Array): ListPart {
  return { bytes, items: fieldEnd(bytes, 1) };
}

function extraPart(channel: Init<ExtrasChannel>): ExtraPart {
  const bytes = extrasCodec.encode(channel);
  const entries = new Map<string, string>();
  for (const [key, value] of Object.entries(channel.entries ?? {})) {
    if (value !== undefined) {
      entries.set(key, value);
    }
  }
  return { bytes, version: fieldEnd(bytes, 1), entries };
}

function customPart(channel: Init<CustomChannel>): CustomPart {
  const bytes = customChannelCodec.encode(channel);
  const value = fieldEnd(bytes, 1);
  return { bytes, value, kind: value < bytes.length ? new BinaryReader(bytes.subarray(value)).tag()[0] : 0 };
}

/** Where a field ends that may stand at the beginning; 0 if it does not. Fields are written by number. */
function fieldEnd(bytes: Uint8Array, field: number): number {
  if (bytes.length === 0) {
    return 0;
  }
  const reader = new BinaryReader(bytes);
  const [number, wire] = reader.tag();
  if (number !== field) {
    return 0;
  }
  reader.skip(wire);
  return reader.pos;
}

function embed(writer: BinaryWriter, field: number, bytes: Uint8Array | undefined): void {
  if (bytes) {
    writer.tag(field, WireType.LengthDelimited).bytes(bytes);
  }
}

/** An entry of a map. */
function entry(writer: BinaryWriter, field: number, key: string, value: string | Uint8Array): void {
  writer.tag(field, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(key);
  writer.tag(2, WireType.LengthDelimited);
  (typeof value === "string" ? writer.string(value) : writer.bytes(value)).join();
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}
