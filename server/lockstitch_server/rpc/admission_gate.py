"""Admits calls while the server runs, and waits until none is left."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from lockstitch_server.core.errors import Failure, Reason

QUIET_SECONDS = 0.1
"""How long no call must come before the server is taken to be left alone."""


class AdmissionGate:
    """Counts the calls that are being answered.

    gRPC's own stop resets calls that have arrived and were not begun, which clients see as CANCELLED. So before it, the
    gate closes: calls that come are answered at once, with UNAVAILABLE, until they have found their way elsewhere.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        """most: how many calls may be inside at once."""
        self._most = most
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inside = 0
        self._last_seen = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold the gate open for a call. Fails with DRAINING once it is closed, with OVERLOADED while it is crowded."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def long_call(self, seconds: float) -> Iterator["asyncio.Future[None]"]:
        """Hold the gate open for a call without an end of its own. Gives what is done when the call should end.

        That is when the gate closes, or when the call has lasted for `seconds`, unless they are 0.
        """
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _finish, end) if seconds else None
        tell = partial(_finish, end)
        with self.call():
            self._closing.add_done_callback(tell)
            try:
                yield end
            finally:
                self._closing.remove_done_callback(tell)
                if timer is not None:
                    timer.cancel()

    def enter(self) -> None:
        """A call comes in. Fails with DRAINING, OVERLOADED; otherwise `leave` must follow."""
        if self._closing.done():
            self._last_seen = asyncio.get_running_loop().time()
            raise Failure(Reason.DRAINING, "the server is stopping")
        if self._inside >= self._most:
            raise Failure(
                Reason.OVERLOADED,
                f"{self._most} calls are in flight, which is the limit (limits.max_calls); retry later",
            )
        self._inside += 1

    def leave(self) -> None:
        """A call has been answered."""
        self._inside -= 1

    async def close(self, max_wait: float) -> None:
        """Let no call in; wait until those inside have left and no more come, at most `max_wait` seconds."""
        _finish(self._closing)
        loop = asyncio.get_running_loop()
        end = loop.time() + max_wait
        self._last_seen = loop.time()
        # Polled, since time itself is waited for.
        while loop.time() < end and (self._inside or loop.time() - self._last_seen < QUIET_SECONDS):  # noqa: ASYNC110
            await asyncio.sleep(QUIET_SECONDS / 4)


def _finish(end: "asyncio.Future[None]", _: object = None) -> None:
    if not end.done():
        end.set_result(None)
