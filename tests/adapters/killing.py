"""A server that is killed again and again while others work on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.server import LockstitchServer

PAUSE_SECONDS = 0.3


@asynccontextmanager
async def killed_often(server: LockstitchServer, times: int = 3) -> AsyncIterator[asyncio.Event]:
    """Kill and restart the server some times, in the background. The event is set when that has been done."""
    done = asyncio.Event()

    async def kill() -> None:
        for _ in range(times):
            await asyncio.sleep(PAUSE_SECONDS)  # when it dies does not matter, only that work is under way
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        done.set()

    task = asyncio.create_task(kill())
    try:
        yield done
    finally:
        await task
