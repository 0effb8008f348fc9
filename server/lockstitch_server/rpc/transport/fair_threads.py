"""Threads for long work on messages. Tenants are served round robin, so a busy tenant delays only itself."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lockstitch_server.engine.fair_queue import Entry, FairQueue

T = TypeVar("T")


class FairThreads:
    """A few threads, and a queue in front of them."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """What the work returns, which is done in a thread when the tenant's turn comes."""
        await self._turn(tenant)
        try:
            return await _finished(self._pool.submit(work))
        finally:
            self._leave()

    async def _turn(self, tenant: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(tenant, Entry(turn, 1, 0))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given a thread in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        """Give the thread to whose turn it is."""
        while self._waiting:
            turn = self._waiting.popleft().value
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


async def _finished(running: Future[T]) -> T:
    """The result. Work that has begun cannot be stopped: a cancelled caller waits for it, and counts in limits."""
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        if not running.cancel():
            await asyncio.gather(asyncio.wrap_future(running), return_exceptions=True)
        raise
