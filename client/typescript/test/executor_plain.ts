/** Plain state: a part of the executor. */

import { type Client, jsonText, jsonValue, type Thread } from "../src/index.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments are what the harness sends
type Args = any;
type Ok = Record<string, unknown>;

/** `client`: the one that is connected. */
export class PlainOperations {
  readonly #client: () => Client;
  readonly #threads = new Map<string, Thread>();

  constructor(client: () => Client) {
    this.#client = client;
  }

  /** Forget all threads: the client is another one. */
  clear(): void {
    this.#threads.clear();
  }

  readonly operations: Record<string, (args: Args) => Promise<Ok>> = {
    plain_save: (args) => this.#changed(args, (thread) => thread.save(jsonValue(args.state) as Ok)),

    plain_append: (args) =>
      this.#changed(args, (thread) => thread.append(args.key, ...(jsonValue(args.items) as unknown[]))),

    plain_load: (args) =>
      refusedOr(async () => {
        const thread = this.#thread(args);
        const state = await (typeof args.step === "number" ? thread.at(args.step) : thread.load());
        return { state: state && exact(state), step: thread.step };
      }),

    plain_history: async (args) => {
      const steps: number[] = [];
      for await (const { step } of this.#thread(args).history()) {
        steps.push(step);
      }
      return { steps };
    },

    plain_fork: async (args) => {
      const fork = await this.#thread(args).fork(args.target, { step: args.step ?? undefined });
      return { state: exact(await fork.load()) };
    },

    plain_rewind: async (args) => ({ state: exact(await this.#thread(args).rewind(args.step)) }),

    plain_save_ill_formed: (args) => this.#changed(args, (thread) => thread.save({ a: { b: ["\ud83d"] } })),
  };

  #thread({ session_id, by }: Args): Thread {
    const key = `${by ?? ""} ${session_id}`;
    const thread = this.#threads.get(key) ?? this.#client().thread(session_id);
    this.#threads.set(key, thread);
    return thread;
  }

  #changed(args: Args, change: (thread: Thread) => Promise<void>): Promise<Ok> {
    return refusedOr(async () => {
      const thread = this.#thread(args);
      await change(thread);
      return { step: thread.step };
    });
  }
}

/** Floats beyond 2^53 as floats: `jsonText` writes them as JSON.stringify does. */
function exact(value: unknown): string {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return value.toExponential();
  }
  if (Array.isArray(value)) {
    return `[${value.map(exact).join(",")}]`;
  }
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${jsonText(key)}:${exact(item)}`)
      .join(",")}}`;
  }
  return jsonText(value);
}

async function refusedOr(work: () => Promise<Ok>): Promise<Ok> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TypeError) {
      return { refused: error.message };
    }
    throw error;
  }
}
