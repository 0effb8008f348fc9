"""Saves of one session are sent in the order of the calls.

A stream keeps that order by itself. A save by a call of its own could be overtaken, so the session's next saves wait
for it; then they go over a stream, all at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import grpc

from lockstitch._errors import DeadlineExceeded


class Turns(Protocol):
    """Where saves wait for those of the same session before them."""

    async def enter(self, session_id: str, seconds: float) -> bool:
        """Wait until this save may be sent. Returns whether `leave` must be called at its end.

        Raises DeadlineExceeded after this many seconds.
        """

    def leave(self, session_id: str) -> None:
        """End a save that was made by a call of its own."""


class NoTurns:
    """Threads have no order among themselves: each one waits for its own saves."""

    async def enter(self, session_id: str, seconds: float) -> bool:
        return False

    def leave(self, session_id: str) -> None:
        pass


class SaveTurns:
    """Lets one save of a session be under way by a call of its own, and none beside it.

    joins_stream: whether a save of this session that is sent now goes over a stream.
    """

    def __init__(self, joins_stream: Callable[[str], bool]) -> None:
        self._joins_stream = joins_stream
        self._alone: set[str] = set()
        """Sessions that have a save under way by a call of its own."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By session: the saves that wait. All later saves of these sessions wait, too."""

    def is_alone(self, session_id: str) -> bool:
        """Whether the save of this session that is sent now is made by a call of its own."""
        return session_id in self._alone

    async def enter(self, session_id: str, seconds: float) -> bool:
        waiting = self._waiting.get(session_id)
        if waiting is not None:
            await self._wait(session_id, waiting, seconds)
        is_stream = self._joins_stream(session_id)
        if not is_stream:
            self._alone.add(session_id)
            self._waiting.setdefault(session_id, deque())
        elif waiting is not None:
            # The next save follows when the caller has put this one in the queue of its stream, which it does at once.
            asyncio.get_running_loop().call_soon(self._next, session_id)
        return not is_stream

    def leave(self, session_id: str) -> None:
        self._alone.discard(session_id)
        self._next(session_id)

    def _next(self, session_id: str) -> None:
        waiting = self._waiting[session_id]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[session_id]

    async def _wait(self, session_id: str, waiting: "deque[asyncio.Future[None]]", seconds: float) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        waiting.append(turn)
        timer = loop.call_later(seconds, _expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # it had its turn already
                self._next(session_id)
            raise
        finally:
            timer.cancel()


def _expire(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        message = "an earlier save of this session waits for its answer"
        turn.set_exception(DeadlineExceeded(message, code=grpc.StatusCode.DEADLINE_EXCEEDED))
