/** The last checkpoint of each thread and namespace, so that what it held need be neither dumped nor fetched again. */

import type { Checkpoint, CustomChannel } from "../checkpoint.js";

const MOST_THREADS = 1024;
const MOST_BYTES = 64 * 1024 * 1024;
const OVERHEAD = 100;

/** 1024 checkpoints in 64 MiB; the least recently used are forgotten first. */
export class Recent {
  readonly #known = new Map<string, { message: Checkpoint; size: number }>();
  #bytes = 0;

  /** Remember a checkpoint that was saved or loaded, and that does not change any more. */
  put(message: Checkpoint): void {
    const key = keyOf(message.sessionId, message.namespace);
    this.#forget(key);
    const channels = Object.values(message.state?.custom ?? {});
    const size = channels.reduce((sum, channel) => sum + sizeOf(channel), message.header?.data.length ?? 0);
    if (size > MOST_BYTES) {
      return;
    }
    this.#known.set(key, { message, size });
    this.#bytes += size;
    for (const oldest of this.#known.keys()) {
      if (this.#bytes <= MOST_BYTES && this.#known.size <= MOST_THREADS) {
        break;
      }
      this.#forget(oldest);
    }
  }

  /** The checkpoint of this id, if it is known. */
  get(threadId: string, namespace: string, checkpointId: string): Checkpoint | undefined {
    const found = this.#known.get(keyOf(threadId, namespace))?.message;
    return found?.checkpointId === checkpointId ? found : undefined;
  }

  #forget(key: string): void {
    this.#bytes -= this.#known.get(key)?.size ?? 0;
    this.#known.delete(key);
  }
}

/** Of its values, and about what an item takes beside them. */
function sizeOf({ blob, list }: CustomChannel): number {
  const blobs = list?.items ?? (blob ? [blob] : []);
  return blobs.reduce((sum, { data }) => sum + data.length + OVERHEAD, OVERHEAD);
}

/** Ids hold no control characters. */
function keyOf(threadId: string, namespace: string): string {
  return `${threadId}\u0000${namespace}`;
}
