"""How much a store holds, asked seldom: the answer goes over all sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.reading import Totals
from lockstitch_server.storage.store import Store

log = structlog.get_logger(__name__)


@asynccontextmanager
async def counting(store: Store, tell: Callable[[Totals], None] | None, seconds: float) -> AsyncIterator[None]:
    """Ask while the block runs, with such a pause between; not at all where nobody wants to know."""
    task = asyncio.create_task(_count(store, tell, seconds)) if tell is not None and seconds else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


async def _count(store: Store, tell: Callable[[Totals], None], seconds: float) -> None:
    while True:
        try:
            tell(await store.snapshot(lambda repository: repository.catalog.totals()))
        except Failure as failure:
            log.debug("not_counted", reason=failure.message)
        await asyncio.sleep(seconds)
