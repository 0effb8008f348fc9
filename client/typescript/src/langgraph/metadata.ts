/**
 * A checkpoint's metadata: what can be searched by is the contract's metadata, the rest goes along in the header.
 *
 * An entry alone decides where it stands (`searchText`), so that a list searches where a put has stored. The exception is a
 * checkpoint with more entries than the server takes: it says so by an entry of ours, `SPILLED`.
 */

const MOST_ENTRIES = 64;
const MOST_KEY_BYTES = 255;
const MOST_VALUE_BYTES = 4096;
/** Of all entries that can be searched by, below what a server takes by default (`limits.max_metadata_bytes`). */
const MOST_BYTES = 60_000;
const MOST_STEP = 2n ** 63n - 1n;
const SURROGATE = /\p{Surrogate}/u;

/** LangGraph's entry about DeltaChannels whose values lie with an ancestor. */
export const COUNTERS = "counters_since_delta_snapshot";
/** Another one for every checkpoint: the contract has a field for it, which can be searched by too. */
export const STEP = "step";
/** Entries that are always among those that can be searched by. */
export const FIRST = ["run_id", "source"];
/** Entries of a checkpoint that could be searched by are in the header, for lack of room. */
export const SPILLED = { "lockstitch.spilled": "true" };
const OURS = new Set([...Object.keys(SPILLED), "lockstitch.delta"]);

export type Metadata = Record<string, unknown>;

/** What can be searched by, as JSON texts; and the rest. */
export function split(metadata: Metadata): { texts: Record<string, string>; rest: Metadata } {
  const entries = Object.entries(metadata).filter(([, value]) => value !== undefined);
  let texts = searchTexts(entries);
  let size = 0;
  const fitting = texts.filter(([key, text]) => {
    size += Buffer.byteLength(key) + Buffer.byteLength(text);
    return size <= MOST_BYTES;
  }).length;
  if (texts.length > MOST_ENTRIES || texts.length > fitting) {
    texts = [...texts.slice(0, Math.min(fitting, MOST_ENTRIES - 1)), ...Object.entries(SPILLED)];
  }
  const searched = new Set(texts.map(([key]) => key));
  return { texts: Object.fromEntries(texts), rest: Object.fromEntries(entries.filter(([key]) => !searched.has(key))) };
}

/** What was split. */
export function joined(texts: Readonly<Record<string, string>>, rest: Metadata): Metadata {
  const known = Object.entries(texts).filter(([key]) => !OURS.has(key));
  return Object.fromEntries([...known.map(([key, text]) => [key, JSON.parse(text)] as const), ...Object.entries(rest)]);
}

/** The entries that can be searched by, with their JSON texts; `FIRST` first. */
export function searchTexts(entries: [string, unknown][]): [string, string][] {
  const isFirst = ([key]: [string, unknown]) => Number(FIRST.includes(key));
  return entries
    .toSorted((one, other) => isFirst(other) - isFirst(one))
    .flatMap(([key, value]) => {
      const text = searchText(key, value);
      return text === undefined ? [] : [[key, text] as [string, string]];
    });
}

/** What the field for steps is set to by this value: 0 for the input's -1. undefined: it is no step. */
export function stepOf(value: unknown): bigint | undefined {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < -1 || BigInt(value) > MOST_STEP) {
    return undefined;
  }
  return BigInt(Math.max(value, 0));
}

/** The JSON text by which an entry is searched for on the server; undefined: it is in the header only. */
function searchText(key: string, value: unknown): string | undefined {
  if (OURS.has(key) || (key === STEP && stepOf(value) !== undefined) || !isScalar(value)) {
    return undefined;
  }
  const text = JSON.stringify(value);
  const fits = Buffer.byteLength(key) <= MOST_KEY_BYTES && Buffer.byteLength(text) <= MOST_VALUE_BYTES;
  return fits && !SURROGATE.test(key) ? text : undefined;
}

/** Whether the text of a value says exactly the value, in every language. */
function isScalar(value: unknown): boolean {
  switch (typeof value) {
    case "string":
      return !SURROGATE.test(value);
    case "number":
      return Number.isInteger(value) ? Number.isSafeInteger(value) && !Object.is(value, -0) : Number.isFinite(value);
    default:
      return value === null || typeof value === "boolean";
  }
}
