"""Threads for long work on messages. Tenants are served round robin, so a busy tenant delays only itself."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class FairThreads:
    """A few threads, and a queue in front of them.

    most: how many threads a tenant may have at once. If there are more, another tenant need not wait for its work.
    """

    def __init__(self, threads: int, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._most = most
        self._busy: Counter[str] = Counter()
        """How many threads each tenant has."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The turns of each tenant. The tenant whose turn it is comes first."""

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """What the work returns, which is done in a thread when the tenant's turn comes."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._start()
        try:
            await turn
            return await _finished(self._pool.submit(work))
        finally:
            if not turn.cancelled():
                self._busy[tenant] -= 1
                if not self._busy[tenant]:
                    del self._busy[tenant]
                self._free += 1
                self._start()

    def _start(self) -> None:
        """Give free threads to those whose turn it is."""
        while self._free and (tenant := self._next()) is not None:
            turns = self._waiting.pop(tenant)
            turn = turns.popleft()
            if turns:
                self._waiting[tenant] = turns
            if not turn.cancelled():
                self._free -= 1
                self._busy[tenant] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        return next((tenant for tenant in self._waiting if self._busy[tenant] < self._most), None)


async def _finished(running: Future[T]) -> T:
    """The result. Work that has begun cannot be stopped: a cancelled caller waits for it, and counts in limits."""
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        if not running.cancel():
            await asyncio.gather(asyncio.wrap_future(running), return_exceptions=True)
        raise
