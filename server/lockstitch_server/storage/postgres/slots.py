"""Keeps calls that save nothing from taking all connections: a save finds one free, however many other calls there are.

A call that waits has not begun. If its caller leaves, nothing of it happens.
"""

import asyncio
from collections.abc import Callable

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.postgres.errors import CANNOT_REACH


class Slots:
    """A number of calls that may use the database at once."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def take(self, gives_up: Callable[[], bool], seconds: float) -> None:
        """Wait until fewer calls are inside; `release` must follow.

        gives_up: whether the database is away for too long, asked at intervals of `seconds`. Fails with
        STORE_UNAVAILABLE then.
        """
        if not self._free.locked():
            await self._free.acquire()  # at once
            return
        taking = asyncio.create_task(self._free.acquire())
        try:
            while not taking.done():
                await asyncio.wait([taking], timeout=seconds)
                if not taking.done() and gives_up():
                    raise Failure(Reason.STORE_UNAVAILABLE, CANNOT_REACH)
        except BaseException:
            if not taking.cancel():
                self._free.release()
            raise

    def release(self) -> None:
        """The call has ended."""
        self._free.release()
