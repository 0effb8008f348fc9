/** The session store: the SDK's interface over appenders. */

import type { Appender, Fold } from "../appending.js";
import type { VersionedState } from "../checkpoint.js";
import type { Client } from "../client.js";
import type { SessionKey } from "./layout.js";
import * as layout from "./layout.js";

const MOST_KNOWN = 1024;
const PAGE_SIZE = 1000;

/** A line of a transcript. */
export interface SessionEntry {
  type: string;
  uuid?: string;
  timestamp?: string;
  [key: string]: unknown;
}

/** The SDK's summary of a session. */
export interface SessionSummary {
  sessionId: string;
  mtime: number;
  data: Record<string, unknown>;
}

/** The SDK's `foldSessionSummary`. */
export type FoldSessionSummary = (
  previous: SessionSummary | undefined,
  key: SessionKey,
  entries: SessionEntry[],
) => SessionSummary;

export interface LockstitchSessionStoreOptions {
  /** The function of this name that the SDK exports. */
  foldSessionSummary: FoldSessionSummary;
  /** How the ids of the sessions on the server begin. Default "claude/". */
  prefix?: string | undefined;
  /** A session ends this long after its last entry, 1000 or more. Default: it stays. */
  ttlMs?: number | undefined;
  /**
   * For how long a deleted session refuses entries, so that one which still runs does not bring it back. Default: as long as
   * the server says, an hour unless configured.
   */
  tombstoneMs?: number | undefined;
}

/**
 * The transcripts of the Claude Agent SDK's sessions, on a Lockstitch server; Python's store shares them. The client stays the
 * caller's to close.
 *
 * `append` sends and stores the new entries and nothing else, and returns when they are durable. Any number of processes may
 * append to one session at the same time. If `append` has failed and left open whether the entries were stored, call it again
 * with the same entries, as the SDK does: they are stored once. `load` gives each entry that has a `uuid` once.
 *
 * Methods throw the LockstitchErrors that the client throws.
 *
 *     const sessionStore = new LockstitchSessionStore(client, { foldSessionSummary });
 *     for await (const message of query({ prompt, options: { sessionStore } })) { ... }
 */
export class LockstitchSessionStore {
  readonly #client: Client;
  readonly #options: LockstitchSessionStoreOptions;
  readonly #prefix: string;
  /** By session and namespace; the last used. */
  readonly #appenders = new Map<string, Appender>();
  /** Sessions and namespaces that are in the lists of subpaths. */
  readonly #registered = new Set<string>();

  constructor(client: Client, options: LockstitchSessionStoreOptions) {
    this.#client = client;
    this.#options = options;
    this.#prefix = options.prefix ?? "claude/";
  }

  /** Store entries after those that the transcript has. */
  async append(key: SessionKey, entries: SessionEntry[]): Promise<void> {
    if (entries.length === 0) {
      return;
    }
    const [sessionId, namespace] = [layout.sessionName(this.#prefix, key), layout.namespaceOf(key)];
    const items = entries.map(layout.toItem);
    if (key.subpath !== undefined) {
      await this.#register(sessionId, namespace, key.subpath);
    }
    const fold = namespace ? undefined : this.#fold(key, structuredClone(entries));
    await this.#appender(sessionId, namespace).append(layout.ENTRIES, items, fold);
  }

  /** The entries of a transcript, oldest first. null: there is none. */
  async load(key: SessionKey): Promise<SessionEntry[] | null> {
    const [sessionId, namespace] = [layout.sessionName(this.#prefix, key), layout.namespaceOf(key)];
    const { checkpoint } = await this.#client.loadLatest(sessionId, {
      namespace,
      channels: [channelOf(layout.ENTRIES)],
    });
    const entries = checkpoint?.state && listOf(checkpoint.state, layout.ENTRIES);
    return entries ? withoutRepetitions(entries as SessionEntry[]) : null;
  }

  /** The sessions of a project that have a main transcript, with the times of their last changes. */
  async listSessions(projectKey: string): Promise<{ sessionId: string; mtime: number }[]> {
    const found: { sessionId: string; mtime: number }[] = [];
    const sessionIdPrefix = layout.projectPrefix(this.#prefix, projectKey);
    const options = { sessionIdPrefix, orderBy: "sessionId", pageSize: PAGE_SIZE } as const;
    for await (const { sessionId, latestCheckpointId, error, updatedAt } of this.#client.listSessions(options)) {
      if (latestCheckpointId || error) {
        found.push({
          sessionId: layout.sdkSessionId(this.#prefix, projectKey, sessionId),
          mtime: updatedAt.getTime(),
        });
      }
    }
    return found;
  }

  /** The SDK's summaries of these sessions. A summary that is damaged is left out: the SDK loads its session. */
  async listSessionSummaries(projectKey: string): Promise<SessionSummary[]> {
    const sessions = await this.listSessions(projectKey);
    const known = new Map(
      sessions.map((session) => [layout.sessionName(this.#prefix, { projectKey, ...session }), session]),
    );
    const summaries: SessionSummary[] = [];
    const options = { channels: [channelOf(layout.SUMMARY)] };
    for await (const answer of this.#client.loadLatestMany(known.keys(), options)) {
      const session = known.get(answer.sessionId);
      const channel = answer.error ? undefined : answer.result().checkpoint?.state?.custom[layout.SUMMARY];
      if (session && channel?.blob) {
        summaries.push({ ...session, data: layout.fromSummary(channel.blob) });
      }
    }
    return summaries;
  }

  /** Delete a session with all its transcripts; with a subpath, that transcript alone. */
  async delete(key: SessionKey): Promise<void> {
    const [sessionId, namespace] = [layout.sessionName(this.#prefix, key), layout.namespaceOf(key)];
    if (namespace) {
      await this.#deleteTranscript(sessionId, namespace);
      return;
    }
    await this.#client.deleteSessions([sessionId], { tombstoneMs: this.#options.tombstoneMs });
    const isOfSession = (name: string) => name.startsWith(nameOf(sessionId, ""));
    for (const name of [...this.#registered].filter(isOfSession)) {
      this.#registered.delete(name);
    }
    for (const [name, appender] of this.#appenders) {
      if (isOfSession(name)) {
        await appender.forget();
      }
    }
  }

  /** The subpaths of a session that have a transcript, oldest first. */
  async listSubkeys(key: { projectKey: string; sessionId: string }): Promise<string[]> {
    const sessionId = layout.sessionName(this.#prefix, key);
    const index = await this.#appender(sessionId, layout.INDEX).load([channelOf(layout.SUBPATHS)]);
    const subpaths = (listOf(index, layout.SUBPATHS) ?? []) as string[];
    const names = subpaths.map((subpath) => ({ sessionId, namespace: layout.namespaceOf({ subpath }) }));
    const present = new Set<string>();
    for await (const answer of this.#client.loadLatestMany(names, { view: "header" })) {
      const header = answer.result().checkpoint?.header;
      if (header && Buffer.compare(header.data, layout.DELETED.data) !== 0) {
        present.add(answer.namespace);
      }
    }
    return subpaths.filter((subpath) => present.has(layout.namespaceOf({ subpath })));
  }

  /** Have a subpath in the list of its session before it has its first entry. */
  async #register(sessionId: string, namespace: string, subpath: string): Promise<void> {
    const name = nameOf(sessionId, namespace);
    if (this.#registered.has(name)) {
      return;
    }
    const add = (state: VersionedState) => {
      if (listOf(state, layout.SUBPATHS)?.includes(subpath)) {
        return undefined;
      }
      return { custom: { [layout.SUBPATHS]: { version: "", append: { items: [layout.toItem(subpath)] } } } };
    };
    await this.#appender(sessionId, layout.INDEX).change([channelOf(layout.SUBPATHS)], add);
    this.#registered.add(name);
    for (const oldest of this.#registered) {
      if (this.#registered.size <= MOST_KNOWN) {
        break;
      }
      this.#registered.delete(oldest);
    }
  }

  async #deleteTranscript(sessionId: string, namespace: string): Promise<void> {
    const empty = (state: VersionedState) =>
      Object.hasOwn(state.custom, layout.ENTRIES) ? { removedCustom: [layout.ENTRIES] } : undefined;
    const appender = this.#appender(sessionId, namespace);
    await appender.change([channelOf(layout.ENTRIES)], empty, layout.DELETED);
    await this.#client.pruneSessions([sessionId], { retention: { keepLast: 1 } });
  }

  /** How entries change the summary of their session. */
  #fold(key: SessionKey, entries: SessionEntry[]): Fold {
    return (values) => {
      const before = values[layout.SUMMARY];
      const previous = before && { sessionId: key.sessionId, mtime: 0, data: layout.fromSummary(before) };
      const summary = layout.toSummary(this.#options.foldSessionSummary(previous, key, entries).data);
      return before && Buffer.compare(summary.data, before.data) === 0 ? {} : { [layout.SUMMARY]: summary };
    };
  }

  /** One that is forgotten costs its successor a load. */
  #appender(sessionId: string, namespace: string): Appender {
    const name = nameOf(sessionId, namespace);
    const { ttlMs } = this.#options;
    const values = namespace ? [] : [layout.SUMMARY];
    const appender =
      this.#appenders.get(name) ??
      this.#client.appender(sessionId, { namespace, header: layout.TRANSCRIPT, values, ttlMs });
    this.#appenders.delete(name);
    this.#appenders.set(name, appender);
    for (const [oldest, { isNeeded }] of this.#appenders) {
      if (this.#appenders.size <= MOST_KNOWN) {
        break;
      }
      if (oldest !== name && !isNeeded) {
        this.#appenders.delete(oldest);
      }
    }
    return appender;
  }
}

/** Ids hold no control characters. */
function nameOf(sessionId: string, namespace: string): string {
  return `${sessionId}\u0000${namespace}`;
}

/** A channel as loads name it. */
function channelOf(name: string): string {
  return `custom/${name}`;
}

/** The items of a list of a state; undefined: it has none of this name. */
function listOf(state: VersionedState, name: string): unknown[] | undefined {
  const channel = Object.hasOwn(state.custom, name) ? state.custom[name] : undefined;
  return channel?.list?.items.map(layout.fromItem);
}

/** The first of all entries with the same uuid, and those without one. */
function withoutRepetitions(entries: SessionEntry[]): SessionEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ uuid }) => {
    if (typeof uuid !== "string") {
      return true;
    }
    const isNew = !seen.has(uuid);
    seen.add(uuid);
    return isNew;
  });
}
