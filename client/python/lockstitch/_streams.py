"""Streams of answers that go on where they broke off."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import grpc

from lockstitch import _rpcs
from lockstitch._calls import Caller
from lockstitch._deadline import Deadline
from lockstitch._errors import DeadlineExceeded, Internal, RateLimited, Unavailable
from lockstitch.v1.checkpoint_service_pb2 import (
    LoadLatestRequest,
    LoadLatestStreamRequest,
    LoadLatestStreamResponse,
    WalkAncestorsRequest,
    WalkAncestorsResponse,
)
from lockstitch.v1.session_service_pb2 import WatchSessionRequest, WatchSessionResponse

T = TypeVar("T")


def load_latest_many(
    caller: Caller, requests: Sequence[LoadLatestRequest], timeout: float
) -> AsyncGenerator[tuple[LoadLatestRequest, LoadLatestStreamResponse], None]:
    """Each request with its answer, in any order."""
    waiting = dict(enumerate(requests))

    async def ask_for_the_rest(
        deadline: Deadline,
    ) -> AsyncGenerator[tuple[LoadLatestRequest, LoadLatestStreamResponse], None]:
        if not waiting:
            return
        order = list(waiting)
        request = LoadLatestStreamRequest(requests=waiting.values())
        async with aclosing(caller.stream(_rpcs.LOAD_LATEST_STREAM, request, deadline)) as answers:
            async for answer in answers:
                yield waiting.pop(order[answer.index]), answer
        if waiting:
            raise Internal(f"{len(waiting)} sessions were left without an answer", code=grpc.StatusCode.INTERNAL)

    return _resumed(caller, ask_for_the_rest, timeout)


def walk_ancestors(
    caller: Caller, request: WalkAncestorsRequest, timeout: float
) -> AsyncGenerator[WalkAncestorsResponse, None]:
    """The ancestors, nearest first."""
    given: dict[str, None] = {}

    async def ask_for_the_rest(deadline: Deadline) -> AsyncGenerator[WalkAncestorsResponse, None]:
        rest = WalkAncestorsRequest()
        rest.CopyFrom(request)
        if given:
            rest.checkpoint_id = next(reversed(given))
        if request.limit:
            rest.limit -= len(given)
            if not rest.limit:
                return
        async with aclosing(caller.stream(_rpcs.WALK_ANCESTORS, rest, deadline)) as answers:
            async for answer in answers:
                if answer.checkpoint.checkpoint_id in given:  # a circle, which a new call cannot know
                    return
                given[answer.checkpoint.checkpoint_id] = None
                yield answer

    return _resumed(caller, ask_for_the_rest, timeout)


def watch_session(
    caller: Caller, request: WatchSessionRequest, timeout: float
) -> AsyncGenerator[WatchSessionResponse, None]:
    """What happens to a session, heartbeats too, without an end. Each attempt lasts for the timeout at most."""
    rest = WatchSessionRequest()
    rest.CopyFrom(request)

    async def follow(deadline: Deadline) -> AsyncGenerator[WatchSessionResponse, None]:
        async with aclosing(caller.stream(_rpcs.WATCH_SESSION, rest, deadline)) as answers:
            async for answer in answers:
                rest.resume_token = answer.resume_token
                yield answer
        raise Unavailable("the watch ended", code=grpc.StatusCode.UNAVAILABLE)

    return _resumed(caller, follow, timeout)


async def _resumed(
    caller: Caller, attempt: Callable[[Deadline], AsyncGenerator[T, None]], patience: float
) -> AsyncGenerator[T, None]:
    """What the attempts give, as long as one of them brings something in every `patience` seconds.

    A reader that takes its time outlasts a deadline, too: then the next attempt goes on.
    """
    deadline, fault, failures = Deadline(patience), None, 0
    while True:
        brought = False
        try:
            async with aclosing(attempt(deadline)) as items:
                async for item in items:
                    brought = True
                    yield item
            return
        except (Unavailable, RateLimited, DeadlineExceeded) as error:
            if brought:
                deadline, fault, failures = Deadline(patience), None, 0
                continue
            if isinstance(error, DeadlineExceeded):
                raise await caller.late(error, fault, deadline) from None
            fault, failures = error, failures + 1
            if not await caller.pause(deadline, error, failures):
                raise
