"""One SaveStream call: saves go in as they come, answers go out as they are done."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.bundles import TAKES_BATCHES, Bundle, bundles, join

MOST_TOGETHER = 128
"""How many saves are worked on, and how many answers go out, as one."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much of one stream may wait for the database, or for its client to read. One request may always."""

    requests: int
    bytes: int


class Ticket:
    """A bundle of requests that waits for its answer."""

    __slots__ = ("_answered", "_bundle", "_stream")

    def __init__(self, stream: "SaveStream", bundle: Bundle) -> None:
        self._stream = stream
        self._bundle = bundle
        self._answered = False

    def done(self) -> bool:
        """Whether it has its answer, or the call has ended."""
        return self._answered or self._stream.ended

    def answer(self, data: bytes) -> None:
        """Give the answer. Must come once."""
        self._answered = True
        self._stream.answered(self._bundle, data)


class SaveStream:
    """Begins requests in their order; holds the sender back while too many of them wait.

    begin: takes a bundle of requests in and sees to it that its ticket is answered.
    room: waits until so many requests of some size together may begin.
    """

    def __init__(
        self, begin: Callable[[Bundle, Ticket], None], room: Callable[[int, int], Awaitable[None]], window: Window
    ) -> None:
        self.ended = False
        self._begin = begin
        self._room = room
        self._window = window
        self._waiting = 0
        self._waiting_bytes = 0
        self._answers: deque[tuple[Bundle, bytes]] = deque()
        self._unsent = 0
        """How many requests these answers are for."""
        self._takes_many = False
        """Whether the client has sent a batch, and so takes batches of answers."""
        self._moved = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self, requests: AsyncIterator[bytes], closing: "asyncio.Future[None]") -> AsyncGenerator[bytes, None]:
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

    def answered(self, bundle: Bundle, data: bytes) -> None:
        """Take the answer to a bundle of requests."""
        self._waiting -= bundle.saves
        self._waiting_bytes -= len(bundle.data)
        self._unsent += bundle.saves
        self._answers.append((bundle, data))
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

    async def _take(self, requests: AsyncIterator[bytes]) -> None:
        most = min(MOST_TOGETHER, self._window.requests)
        async for data in requests:
            for bundle in bundles(data, most):
                self._takes_many |= bundle.is_batch
                await self._enter(bundle)
                self._begin(bundle, Ticket(self, bundle))

    async def _enter(self, bundle: Bundle) -> None:
        """Wait for room."""
        size = len(bundle.data)
        await self._room(size, bundle.saves)
        while self._is_full(size, bundle.saves):
            self._moved.clear()
            await self._moved.wait()
            await self._room(size, bundle.saves)  # which others may have taken meanwhile
        self._waiting += bundle.saves
        self._waiting_bytes += size

    def _is_full(self, size: int, count: int) -> bool:
        # Answers that are not sent count: a client that reads none must not have them pile up here.
        inside = self._waiting + self._unsent
        over = inside + count > self._window.requests or self._waiting_bytes + size > self._window.bytes
        return over and inside > 0

    def _wake(self, _: object) -> None:
        self._changed.set()
