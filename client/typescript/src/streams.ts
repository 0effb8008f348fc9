/** Streams of answers that go on where they broke off. */

import type { Budget, CallOptions } from "./budget.js";
import type { Caller } from "./caller.js";
import { Internal } from "./errors.js";
import {
  type AncestorMessage,
  type LOAD_LATEST,
  LOAD_LATEST_STREAM,
  type LoadLatestStreamResponse,
  type RequestFor,
  WALK_ANCESTORS,
} from "./wire/methods.js";

export type LoadLatestInit = RequestFor<typeof LOAD_LATEST>;

/** Each request with its answer, in any order. */
export function loadLatestMany(
  caller: Caller,
  requests: readonly LoadLatestInit[],
  options: CallOptions | undefined,
): AsyncGenerator<[LoadLatestInit, LoadLatestStreamResponse], void, undefined> {
  const waiting = new Map(requests.entries());

  async function* askForTheRest(
    budget: Budget,
  ): AsyncGenerator<[LoadLatestInit, LoadLatestStreamResponse], void, undefined> {
    const order = [...waiting.keys()];
    const request = { requests: [...waiting.values()] };
    if (order.length === 0) {
      return;
    }
    for await (const answer of caller.stream(LOAD_LATEST_STREAM, request, budget)) {
      const place = order[answer.index] ?? -1;
      const asked = waiting.get(place);
      if (asked && waiting.delete(place)) {
        yield [asked, answer];
      }
    }
    if (waiting.size > 0) {
      throw new Internal(`${waiting.size} sessions were left without an answer`, { code: "INTERNAL" });
    }
  }

  return caller.resumed(askForTheRest, options);
}

/** The ancestors, nearest first. */
export function walkAncestors(
  caller: Caller,
  asked: RequestFor<typeof WALK_ANCESTORS>,
  options: CallOptions | undefined,
): AsyncGenerator<AncestorMessage, void, undefined> {
  const limit = asked.limit ?? 0;
  let checkpointId = asked.checkpointId ?? "";
  const given = new Set<string>();

  async function* askForTheRest(budget: Budget): AsyncGenerator<AncestorMessage, void, undefined> {
    if (limit > 0 && given.size >= limit) {
      return;
    }
    const request = { ...asked, checkpointId, limit: limit > 0 ? limit - given.size : 0 };
    for await (const answer of caller.stream(WALK_ANCESTORS, request, budget)) {
      const id = answer.checkpoint?.checkpointId ?? "";
      if (given.has(id)) {
        return; // a circle, which a new call cannot know
      }
      given.add(id);
      checkpointId = id;
      yield answer;
    }
  }

  return caller.resumed(askForTheRest, options);
}
