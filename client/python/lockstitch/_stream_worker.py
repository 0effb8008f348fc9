"""Saves of some sessions, over one SaveStream after the other."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Protocol

import grpc

from lockstitch._backoff import wait
from lockstitch._channel import RetryPolicy
from lockstitch._errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    LockstitchError,
    NoConnection,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    from_status,
)
from lockstitch._item import Item
from lockstitch._outbox import Outbox
from lockstitch._save_stream import SaveStream
from lockstitch._tracing import within
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse, SaveStreamResponse

if TYPE_CHECKING:
    from lockstitch._save_stream import Call

FINISH_SECONDS = 0.2
"""How long a stream may take to end in peace when the client is closed."""


class Calls(Protocol):
    """What a stream worker needs to make calls, and where it reports whether streams work."""

    streams_work: bool
    """Whether a stream has ever brought an answer."""

    @property
    def open_stream(self) -> "Callable[[], Awaitable[Call]]":
        """Begins a SaveStream. Raises NoConnection where there has never been a connection, and is none."""

    @property
    def save_alone(self) -> Callable[[bytes, float], Awaitable[SaveResponse]]:
        """Saves by a call of its own, within a number of seconds."""

    def avoid_streams(self) -> None:
        """There are no streams here."""

    @property
    def hear(self) -> Callable[[], None]:
        """Is called when a response comes."""


class StreamWorker:
    """Sends saves in their order, and what has no answer when a stream ends once more on the next.

    retry: how saves are repeated; None: what has no answer when a stream ends gets one call of its own.
    """

    def __init__(self, calls: Calls, retry: RetryPolicy | None) -> None:
        self._calls = calls
        self._retry = retry
        self._number = 0
        self._outbox = Outbox()
        self._stream: SaveStream | None = None
        self._running: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None  # one for all deadlines, not after the first of them
        self._alarm_at = math.inf
        self._restarts = 0
        self._failures = 0  # streams in a row that have brought nothing
        self._fault: LockstitchError | None = None  # what has gone wrong since the last answer

    async def save(self, request: bytes, session_id: str, seconds: float) -> SaveResponse:
        """The answer to a serialized SaveRequest. Raises LockstitchError, DeadlineExceeded at the timeout."""
        loop = asyncio.get_running_loop()
        self._number += 1
        item = Item(self._number, session_id, request, loop.time() + seconds, seconds, loop.create_future())
        self._outbox.add(item)
        self._wake()
        if item.deadline < self._alarm_at:
            self._set_alarm(item.deadline)
        try:
            return await item.answer
        except asyncio.CancelledError:
            self._outbox.remove(item.number)
            raise

    def restart(self) -> None:
        """Give up the stream, and send what has no response over a new one."""
        self._restarts += 1
        if self._stream is not None:
            self._stream.drop()

    async def close(self) -> None:
        """Fail whatever waits with Cancelled."""
        self._fail(list(self._outbox.waiting.values()), _closed())
        if self._alarm is not None:
            self._alarm.cancel()
        if (running := self._running) is not None:
            if self._stream is not None:
                self._stream.finish()
                await asyncio.wait([running], timeout=FINISH_SECONDS)
            running.cancel()
            await asyncio.wait([running])

    def _wake(self) -> None:
        if self._running is None:
            # In a context of its own, not that of the first caller that saves.
            self._running = asyncio.get_running_loop().create_task(
                self._run(), name="lockstitch: saves", context=Context()
            )
        elif self._stream is not None:
            self._stream.wake()

    async def _run(self) -> None:
        try:
            while self._outbox.waiting:
                await self._use_stream()
        finally:
            self._running = None
            self._fail(list(self._outbox.waiting.values()), _closed())

    async def _use_stream(self) -> None:
        """Open a stream, and use it until it ends."""
        self._failures += 1
        self._outbox.restart()
        fault = None
        restarts = self._restarts
        try:
            self._stream = SaveStream(await self._calls.open_stream(), self._outbox, self._answered)
            if restarts != self._restarts:  # while it was opened
                self._stream.drop()
            await self._stream.run()
        except LockstitchError as error:
            fault = self._fault = error
        finally:
            self._stream = None
        if self._outbox.waiting:
            await self._recover(fault)

    def _answered(self, answers: Iterable[SaveStreamResponse]) -> None:
        self._failures, self._fault, self._calls.streams_work = 0, None, True
        self._calls.hear()
        for answer in answers:
            self._settle(answer)

    def _settle(self, answer: SaveStreamResponse) -> None:
        item = self._outbox.waiting.get(answer.request_id)
        if item is None:
            return  # nobody waits for it any more
        if answer.HasField("saved"):
            self._outbox.remove(item.number)
            item.succeed(answer.saved)
        elif answer.HasField("error"):
            self._refused(item, from_status(answer.error))
        else:
            self._fail([item], Internal("an answer without a result", code=grpc.StatusCode.INTERNAL))

    def _refused(self, item: Item, error: LockstitchError) -> None:
        """Fail, or send it again later, and all of its session after it."""
        loop = asyncio.get_running_loop()
        if self._retry is not None and isinstance(error, Unavailable | RateLimited):
            item.refusals += 1
            seconds = wait(self._retry, item.refusals, error)
            if loop.time() + seconds < item.deadline:
                self._fault = error
                item.span.retried(error)
                if self._outbox.hold(item):
                    loop.call_later(seconds, self._release, item.session_id)
                return
        self._fail([item], error)

    def _release(self, session_id: str) -> None:
        self._outbox.release(session_id)
        self._wake()

    async def _recover(self, fault: LockstitchError | None) -> None:
        """Do what is to be done before the next stream. `fault`: how the last one ended.

        A stream that ends while it is written to may end with INTERNAL whatever the server says. So unless it has
        brought nothing at all, the next one may well tell more.
        """
        if isinstance(fault, Unimplemented):
            self._calls.avoid_streams()
        everything = list(self._outbox.waiting.values())
        if isinstance(fault, Unauthenticated | PermissionDenied | NoConnection):
            self._fail(everything, fault)
        elif self._retry is None or (self._failures and fault and not isinstance(fault, Unavailable | RateLimited)):
            await self._save_alone(self._outbox.sent() or everything)
        elif self._failures:
            await self._pause(wait(self._retry, self._failures, fault), fault)

    async def _pause(self, seconds: float, fault: LockstitchError | None) -> None:
        """Wait before the next stream. If the server has asked for it, saves that would be too late fail at once."""
        if isinstance(fault, RateLimited):
            end = asyncio.get_running_loop().time() + seconds
            self._fail([item for item in self._outbox.waiting.values() if item.deadline <= end], fault)
        if self._outbox.waiting:
            await asyncio.sleep(seconds)

    async def _save_alone(self, items: list[Item]) -> None:
        """Save by calls of their own, so that whichever ended the stream gets its own error. One by one: in order."""
        loop = asyncio.get_running_loop()
        for item in items:
            left = item.deadline - loop.time()
            if left > 0 and not item.answer.done():
                try:
                    with within(item.span):
                        item.succeed(await self._calls.save_alone(item.request, left))
                except LockstitchError as error:
                    item.fail(error)
                self._outbox.remove(item.number)

    def _set_alarm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = when
        self._alarm = asyncio.get_running_loop().call_at(when, self._expire_due)

    def _expire_due(self) -> None:
        now = asyncio.get_running_loop().time()
        for item in [item for item in self._outbox.waiting.values() if item.deadline <= now]:
            self._expire(item)
        self._alarm_at = math.inf
        if self._outbox.waiting:
            self._set_alarm(min(item.deadline for item in self._outbox.waiting.values()))

    def _expire(self, item: Item) -> None:
        self._outbox.remove(item.number)
        item.fail(DeadlineExceeded("no answer in time", code=grpc.StatusCode.DEADLINE_EXCEEDED), self._fault)
        if item.sent and not self._calls.streams_work:
            self._calls.avoid_streams()  # there may be a proxy that waits for the end of the stream
        if self._stream is not None and (not self._outbox.sent() or self._stream.silence >= item.seconds / 2):
            self._stream.drop()  # it may be stuck; its other callers get the next one

    def _fail(self, items: Iterable[Item], error: LockstitchError) -> None:
        for item in items:
            self._outbox.remove(item.number)
            item.fail(error)


def _closed() -> Cancelled:
    return Cancelled("the client was closed", code=grpc.StatusCode.CANCELLED)
