/**
 * Where the transcripts of a session are: which session, which namespace, which channel. Python's store has the same layout.
 *
 * A session of the SDK is a session `claude/<project>/<session>`. Its root namespace has the main transcript, a list of
 * entries, and the SDK's summary of it. Each subagent's transcript has a namespace of its own, `subagent/<subpath>`. The
 * namespace `subpaths` lists them: subpaths are added to it before their first entry is stored, and stay in it.
 */

import type { TypedBlob } from "../checkpoint.js";

const TYPE = "lockstitch.claude-agent-sdk";
const JSON_TYPE = "json";
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The header of checkpoints. */
export const TRANSCRIPT = blob(TYPE, "1");
/** The header of the last checkpoint of a transcript that was deleted while its session stays. */
export const DELETED = blob(TYPE, "deleted");

export const ENTRIES = "entries";
export const SUMMARY = "summary";
export const SUBPATHS = "subpaths";
/** The namespace of the list of subpaths. */
export const INDEX = "subpaths";

/** How the SDK names a transcript. */
export interface SessionKey {
  projectKey: string;
  sessionId: string;
  subpath?: string;
}

/** How the ids of a project's sessions begin. */
export function projectPrefix(prefix: string, projectKey: string): string {
  return `${prefix}${quoted(projectKey)}/`;
}

/** The session of a key. */
export function sessionName(prefix: string, { projectKey, sessionId }: SessionKey): string {
  return projectPrefix(prefix, projectKey) + quoted(sessionId);
}

/** The SDK's id of a session of this project. */
export function sdkSessionId(prefix: string, projectKey: string, sessionId: string): string {
  return sessionId.slice(projectPrefix(prefix, projectKey).length).replaceAll("%2F", "/").replaceAll("%25", "%");
}

/** The namespace of a key's transcript. Throws TypeError for an empty subpath. */
export function namespaceOf({ subpath }: { subpath?: string | undefined }): string {
  if (subpath === "") {
    throw new TypeError("subpath is empty: leave it out for the main transcript");
  }
  return subpath === undefined ? "" : `subagent/${subpath}`;
}

/** An entry as an item of a list. Throws TypeError for what JSON does not have. */
export function toItem(entry: unknown): TypedBlob {
  return blob(JSON_TYPE, JSON.stringify(entry));
}

/** The entry of an item. Throws TypeError for an item of another type. */
export function fromItem({ type, data }: TypedBlob): unknown {
  if (type !== JSON_TYPE) {
    throw new TypeError(`an item is stored as "${type}", not as "${JSON_TYPE}": another program has saved here`);
  }
  return JSON.parse(DECODER.decode(data));
}

/** The SDKs give the fields of a summary the same names in the manner of each language; stored are Python's. */
export function toSummary(data: Record<string, unknown>): TypedBlob {
  return toItem(renamed(data, (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)));
}

export function fromSummary(summary: TypedBlob): Record<string, unknown> {
  const data = fromItem(summary) as Record<string, unknown>;
  return renamed(data, (name) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
}

function renamed(data: Record<string, unknown>, rename: (name: string) => string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [rename(name), value]));
}

function quoted(part: string): string {
  return part.replaceAll("%", "%25").replaceAll("/", "%2F");
}

function blob(type: string, text: string): TypedBlob {
  return { type, data: ENCODER.encode(text) };
}
