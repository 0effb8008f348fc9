"""Lets calls in while the server runs, and tells when none is left."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from lockstitch_server.core.errors import Failure, Reason

QUIET_SECONDS = 0.1
"""How long no call must come before the server is taken to be left alone."""


class Gate:
    """Counts the calls that are being answered.

    gRPC's own stop resets calls that have arrived and were not begun, which clients see as CANCELLED. So before it, the
    gate closes: calls that come are answered at once, with UNAVAILABLE, until they have found their way elsewhere.
    """

    def __init__(self) -> None:
        self._closed = False
        self._inside = 0
        self._last_seen = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold the gate open for a call. Fails with DRAINING once it is closed."""
        if self._closed:
            self._last_seen = asyncio.get_running_loop().time()
            raise Failure(Reason.DRAINING, "the server is stopping")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def close(self, patience: float) -> None:
        """Let no call in; wait until those inside have left and no more come, at most `patience` seconds."""
        self._closed = True
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        self._last_seen = loop.time()
        # Polled, since time itself is waited for.
        while loop.time() < end and (self._inside or loop.time() - self._last_seen < QUIET_SECONDS):  # noqa: ASYNC110
            await asyncio.sleep(QUIET_SECONDS / 4)
