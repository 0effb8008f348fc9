/** Streams of answers that go on where they broke off. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Budget, CallOptions } from "./budget.js";
import type { Caller } from "./caller.js";
import { Internal } from "./errors.js";
import {
  CheckpointService,
  type LoadLatestRequestSchema,
  type LoadLatestStreamResponse,
  WalkAncestorsRequestSchema,
  type WalkAncestorsResponse,
} from "./gen/lockstitch/v1/checkpoint_service_pb.js";

export type LoadLatestInit = MessageInitShape<typeof LoadLatestRequestSchema>;

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
    for await (const answer of caller.stream(CheckpointService.method.loadLatestStream, request, budget)) {
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
  asked: MessageInitShape<typeof WalkAncestorsRequestSchema>,
  options: CallOptions | undefined,
): AsyncGenerator<WalkAncestorsResponse, void, undefined> {
  const request = create(WalkAncestorsRequestSchema, asked);
  const limit = request.limit;
  const given = new Set<string>();

  async function* askForTheRest(budget: Budget): AsyncGenerator<WalkAncestorsResponse, void, undefined> {
    if (limit > 0 && given.size >= limit) {
      return;
    }
    request.limit = limit > 0 ? limit - given.size : 0;
    for await (const answer of caller.stream(CheckpointService.method.walkAncestors, request, budget)) {
      const id = answer.checkpoint?.checkpointId ?? "";
      if (given.has(id)) {
        return; // a circle, which a new call cannot know
      }
      given.add(id);
      request.checkpointId = id;
      yield answer;
    }
  }

  return caller.resumed(askForTheRest, options);
}
