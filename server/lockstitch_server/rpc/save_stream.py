"""One SaveStream call: saves begin in the order of their arrival; responses go out as they complete."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.stream_batches import TAKES_BATCHES, Chunk, StreamMessage, chunks, join

log = structlog.get_logger(__name__)

MOST_TOGETHER = 128
"""Maximum saves that are carried out together, and maximum responses in one message."""


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """Maximum saves in flight of one stream, and their bytes: begun, or with a response that is not sent yet.

    One request is always accepted.
    """

    requests: int
    bytes: int


class SaveObserver(Protocol):
    """Hears of the saves of a stream."""

    def begin(self, chunk: Chunk) -> None:
        """Saves are about to be carried out. Fails where they must not be."""
        ...

    def answered(self, chunk: Chunk, answer: bytes) -> "asyncio.Future[bytes] | None":
        """They have been carried out, or have failed. Gives what to answer, if not now and this."""
        ...


class PendingResponse:
    """Saves that are in flight."""

    __slots__ = ("_answered", "_chunk", "_stream")

    def __init__(self, stream: "SaveStream", chunk: Chunk) -> None:
        self._stream = stream
        self._chunk = chunk
        self._answered = False

    def done(self) -> bool:
        """Whether the response is there, or the call has ended."""
        return self._answered or self._stream.ended

    def answer(self, data: bytes) -> None:
        """Send the response. Call it once."""
        self._answered = True
        self._stream.answered(self._chunk, data)


class SaveStream:
    """Begins requests in their order; stops reading while too many are in flight.

    begin: starts saves, whose PendingResponse is answered later.
    room: waits until saves of a size in bytes and a count may begin.
    pace: waits until a count of saves may begin, by the limits of their tenant.
    """

    def __init__(
        self,
        begin: Callable[[Chunk, PendingResponse], None],
        room: Callable[[int, int], Awaitable[None]],
        flow_limits: FlowLimits,
        observer: SaveObserver | None = None,
        pace: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self.ended = False
        self._begin = begin
        self._room = room
        self._flow_limits = flow_limits
        self._observer = observer
        self._pace = pace
        self._waiting = 0
        self._waiting_bytes = 0
        self._answers: deque[tuple[Chunk, bytes]] = deque()
        self._unsent = 0
        """How many requests these answers are for."""
        self._takes_many = False
        """Whether the client has sent a batch, and so takes batches of answers."""
        self._is_broken = False
        """Whether the answer to a save can never be sent."""
        self._moved = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(
        self, requests: AsyncIterator[StreamMessage], closing: "asyncio.Future[None]"
    ) -> AsyncGenerator[bytes, None]:
        """The answers. Ends when the requests have ended and all are answered.

        After `closing` nothing more is taken in; when what was is answered, it fails with DRAINING.
        """
        taking = asyncio.create_task(self._take(requests))
        taking.add_done_callback(self._wake)
        closing.add_done_callback(self._wake)
        news = TAKES_BATCHES
        try:
            while True:
                while self._answers:
                    answer = news + self._next_answer()
                    self._moved.set()
                    yield answer
                    news = b""
                if self._is_broken:
                    raise Failure(Reason.INTERNAL, "the server failed to answer saves of this call; send them again")
                if closing.done():
                    taking.cancel()
                if taking.done() and not self._waiting:
                    break
                await self._changed.wait()
                self._changed.clear()
        finally:
            self.ended = True
            closing.remove_done_callback(self._wake)
            taking.cancel()
        if closing.done():
            raise Failure(Reason.DRAINING, "the server ends this call; what is not answered is for another one")
        taking.result()

    def answered(self, chunk: Chunk, data: bytes) -> None:
        """Take the answer to saves. It goes out when the observer agrees; if the observer fails, the call ends."""
        try:
            later = self._observer.answered(chunk, data) if self._observer is not None else None
        except Exception:
            self._break()
            return
        if later is None:
            self._answer(chunk, data)
        else:
            later.add_done_callback(partial(self._answer_later, chunk))

    def _answer_later(self, chunk: Chunk, later: "asyncio.Future[bytes]") -> None:
        try:
            data = later.result()
        except (Exception, asyncio.CancelledError):
            self._break()
        else:
            self._answer(chunk, data)

    def _break(self) -> None:
        log.exception("save_stream_observer_failed")
        self._is_broken = True
        self._changed.set()

    def _answer(self, chunk: Chunk, data: bytes) -> None:
        self._waiting -= chunk.saves
        self._waiting_bytes -= len(chunk.data)
        self._unsent += chunk.saves
        self._answers.append((chunk, data))
        self._moved.set()
        self._changed.set()

    def _next_answer(self) -> bytes:
        """The next message to send: all that is there for who takes that, within bounds."""
        together = [self._answers.popleft()]
        count = together[0][0].saves
        while self._takes_many and self._answers and count + self._answers[0][0].saves <= MOST_TOGETHER:
            together.append(self._answers.popleft())
            count += together[-1][0].saves
        self._unsent -= count
        return join(together)

    async def _take(self, requests: AsyncIterator[StreamMessage]) -> None:
        most = min(MOST_TOGETHER, self._flow_limits.requests)
        async for data in requests:
            for chunk in chunks(data, most):
                self._takes_many |= chunk.is_batch
                if self._pace is not None:
                    await self._pace(chunk.saves)
                await self._enter(chunk)
                self._begin(chunk, PendingResponse(self, chunk))

    async def _enter(self, chunk: Chunk) -> None:
        """Wait for room."""
        size = len(chunk.data)
        await self._room(size, chunk.saves)
        while self._is_full(size, chunk.saves):
            self._moved.clear()
            await self._moved.wait()
            await self._room(size, chunk.saves)  # which others may have taken meanwhile
        self._waiting += chunk.saves
        self._waiting_bytes += size

    def _is_full(self, size: int, count: int) -> bool:
        # Answers that are not sent count: a client that reads none must not have them pile up here.
        inside = self._waiting + self._unsent
        over = inside + count > self._flow_limits.requests or self._waiting_bytes + size > self._flow_limits.bytes
        return over and inside > 0

    def _wake(self, _: object) -> None:
        self._changed.set()
