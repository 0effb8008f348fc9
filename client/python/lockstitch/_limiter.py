"""Limits how many saves of a client are in flight."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import grpc

from lockstitch._errors import Cancelled, DeadlineExceeded


@dataclass(frozen=True, slots=True)
class InFlightPolicy:
    """How many saves of an `AsyncClient` may be under way at once; further saves wait for their turn.

    max_saves: a number of saves.
    max_bytes: bytes of these saves together, as they are sent. One save may be larger. Some three copies of each state
        are held.
    """

    max_saves: int = 1024
    max_bytes: int = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.max_saves < 1 or self.max_bytes < 1:
            raise ValueError("max_saves and max_bytes must be above 0")


class Limiter(Protocol):
    """Admits saves. Sizes are in bytes."""

    def is_open(self) -> bool:
        """Whether a save, if it is not very large, need not wait."""

    async def enter(self, size: int, seconds: float) -> None:
        """Begin a save: wait until there is room. Raises DeadlineExceeded after that number of seconds."""

    def leave(self, size: int) -> None:
        """End a save of this size."""


class Unlimited:
    """No limit."""

    def is_open(self) -> bool:
        return True

    async def enter(self, size: int, seconds: float) -> None:
        pass

    def leave(self, size: int) -> None:
        pass


class SaveLimiter:
    """Admits a number of saves and of bytes at once, and always one save. First come, first served."""

    def __init__(self, policy: InFlightPolicy) -> None:
        self.saves = 0
        self._bytes = 0
        self._most_saves = policy.max_saves
        self._most_bytes = policy.max_bytes
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()
        self._called = 0  # the number that were called in from the queue and have not come yet

    def is_open(self) -> bool:
        return not self._queue and not self._called and not self._is_full(0)

    async def enter(self, size: int, seconds: float) -> None:
        if self._queue or self._called or self._is_full(size):
            await self._wait(size, seconds)
        else:
            self._take(size)

    def leave(self, size: int) -> None:
        self.saves -= 1
        self._bytes -= size
        self._call_in()

    def close(self) -> None:
        """Send away those who wait: they raise Cancelled."""
        while self._queue:
            turn, _ = self._queue.popleft()
            if not turn.done():
                turn.set_exception(Cancelled("the client was closed", code=grpc.StatusCode.CANCELLED))

    async def _wait(self, size: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue.append((turn, size))
        timer = loop.call_later(seconds, _expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had been called in already
                self._called -= 1
                self.leave(size)
            raise
        finally:
            timer.cancel()
        self._called -= 1
        self._call_in()

    def _call_in(self) -> None:
        while self._queue:
            turn, size = self._queue[0]
            if not turn.done():
                if self._is_full(size):
                    return
                self._take(size)
                self._called += 1
                turn.set_result(None)
            self._queue.popleft()

    def _take(self, size: int) -> None:
        self.saves += 1
        self._bytes += size

    def _is_full(self, size: int) -> bool:
        over = self.saves >= self._most_saves or self._bytes + size > self._most_bytes
        return over and self.saves > 0


def _expire(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        message = "too many other saves of this client wait for their answers"
        turn.set_exception(DeadlineExceeded(message, code=grpc.StatusCode.DEADLINE_EXCEEDED))
