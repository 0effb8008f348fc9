/** Lists that fetch their pages as one goes. */

import type { DamagedCheckpoint } from "./answers.js";

/** One page of a list; it may be short or empty with more to come. */
export interface Page<T> {
  items: T[];
  /** Get the next page with this; "" says that the list is at its end. */
  nextPageToken: string;
  /** How many match in all, if asked for. */
  totalSize?: bigint | undefined;
  /** The damaged checkpoints that `skipDamaged` left out of this page. */
  damaged?: DamagedCheckpoint[] | undefined;
}

/** The items of a list, page after page: `for await (const item of pager)`. */
export class Pager<T> implements AsyncIterable<T> {
  readonly #fetch: (token: string) => Promise<Page<T>>;
  readonly #start: string;

  constructor(fetch: (token: string) => Promise<Page<T>>, start: string) {
    this.#fetch = fetch;
    this.#start = start;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) {
      yield* page.items;
    }
  }

  /** The pages themselves; `nextPageToken` of one is the `pageToken` with which a later list goes on behind it. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    let token = this.#start;
    do {
      const page = await this.#fetch(token);
      yield page;
      token = page.nextPageToken;
    } while (token);
  }
}
