/** Where a checkpoint stands, as LangGraph's configs say it. */

import { createHash } from "node:crypto";
import type { RunnableConfig } from "@langchain/core/runnables";

const MOST_BYTES = 512;
const HASHED = "sha256:";
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what the server refuses in ids
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** `checkpointId`: its own id, or its parent's, as the occasion is; "" for none. `namespace`: undefined where none is named. */
export interface Place {
  threadId: string;
  namespace: string | undefined;
  checkpointId: string;
}

/** What a config says; undefined: it names no thread. */
export function placeOf(config: RunnableConfig | undefined): Place | undefined {
  const named = config?.configurable;
  if (named?.thread_id === undefined || named.thread_id === null) {
    return undefined;
  }
  const { thread_id, checkpoint_ns, checkpoint_id } = named;
  return {
    threadId: String(thread_id),
    namespace: checkpoint_ns === undefined ? undefined : String(checkpoint_ns),
    checkpointId: String(checkpoint_id ?? ""),
  };
}

/** As `placeOf`. Throws TypeError for a config without a thread_id. */
export function requiredPlace(config: RunnableConfig): Place {
  const place = placeOf(config);
  if (!place) {
    throw new TypeError('the config names no thread: give { configurable: { thread_id: "..." } }');
  }
  return place;
}

/** The config that names a checkpoint. */
export function configOf(threadId: string, namespace: string, checkpointId: string): RunnableConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: checkpointId } };
}

/** The name that a namespace is stored under: its own, wherever the server takes that. */
export function storedNamespace(namespace: string): string {
  if (Buffer.byteLength(namespace) <= MOST_BYTES && !namespace.startsWith(HASHED) && !CONTROL.test(namespace)) {
    return namespace;
  }
  return HASHED + createHash("sha256").update(namespace).digest("hex");
}
