"""Polls the database and reports when its health changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from lockstitch_server.core.errors import Failure

RETRY_FACTOR = 4
"""How much sooner than usual to ask again after a failure."""

Ask = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How often to ask, how long to wait for an answer, and how many failures in a row make an outage."""

    seconds: float
    max_wait: float
    failures: int


class HealthState:
    """Healthy until `failures` failures in a row (one, at the first look); healthy again at the first success."""

    def __init__(self, failures: int) -> None:
        self._most = failures
        self._in_row = failures - 1
        self.well = True

    def saw(self, success: bool) -> bool:
        """Take in an answer. Returns whether the verdict has changed."""
        self._in_row = 0 if success else self._in_row + 1
        before, self.well = self.well, self._in_row < self._most and (self.well or success)
        return self.well is not before


class Looks:
    """Looks at the database: whether it answers, and now and then whether it takes writes."""

    def __init__(self, ping: Ask, try_write: Ask, write_seconds: float) -> None:
        self._ping = ping
        self._try_write = try_write
        self._write_seconds = write_seconds
        self._write_at = 0.0

    async def look(self) -> None:
        """Look once. After a write that failed, each look tries to write. Fails as the two do."""
        await self._ping()
        now = time.monotonic()
        if now >= self._write_at:
            await self._try_write()
            self._write_at = now + self._write_seconds


@asynccontextmanager
async def probing(ping: Ask, tell: Callable[[bool], None], settings: ProbeSettings) -> AsyncIterator[None]:
    """Ask while the block runs. `tell` hears whether the database is well, whenever that has changed."""
    task = asyncio.create_task(_probe(ping, tell, settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _probe(ping: Ask, tell: Callable[[bool], None], settings: ProbeSettings) -> None:
    verdict = HealthState(settings.failures)
    while True:
        problem = await _problem(ping, settings.max_wait)
        if verdict.saw(problem is None):
            log.warning("database_available" if verdict.well else "database_unavailable", reason=problem)
            tell(verdict.well)
        await asyncio.sleep(settings.seconds if problem is None else settings.seconds / RETRY_FACTOR)


async def _problem(ping: Ask, max_wait: float) -> str | None:
    """Why the database does not answer; None: it does."""
    try:
        async with asyncio.timeout(max_wait):
            await ping()
    except TimeoutError:
        return f"no answer within {max_wait} s"
    except Failure as failure:
        return failure.message
    return None
