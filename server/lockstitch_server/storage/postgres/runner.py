"""Runs work on the connections of a pool, over conflicts, lost connections and failovers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import asyncpg
from asyncpg import Pool, Record
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.libpq.connector import STATEMENT_LOST, Connector
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.commit_marks import Attempt, Writers, was_committed
from lockstitch_server.storage.postgres.errors import AWAY, CONFLICTS, NODE_AWAY, OUTAGES, InDoubt
from lockstitch_server.storage.postgres.outage import Outage, pause

T = TypeVar("T")
Work = Callable[[AnyConnection], Awaitable[T]]
MarkedWork = Callable[[AnyConnection, Attempt], Awaitable[T]]

ATTEMPTS = 8
SLOW_SECONDS = 1.0
"""Work, or an attempt to connect, that takes longer may wait for a host that hangs."""


class Runner:
    """Runs work. It may run more than once, but no transaction that was committed runs again.

    seconds: how long work waits for a database that is away.
    """

    def __init__(
        self,
        connector: Connector,
        pool: "Pool[Record]",
        clock: DatabaseClock,
        seconds: float,
        *,
        is_distributed: bool = False,
    ) -> None:
        self._connector = connector
        self._is_distributed = is_distributed
        self._pool = pool
        self._writers = Writers(clock)
        self.reads, self.writes = Outage(seconds), Outage(seconds)
        self._closed = False
        self._running: dict[object, float] = {}
        """When the work began that has a connection."""
        self._watch = asyncio.create_task(self._watch_slow_work()) if connector.follows_primary else None

    def works(self) -> None:
        """Something else has found that the database works."""
        self.reads.end()
        self.writes.end()

    def close(self) -> None:
        """Let nothing wait any more."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()

    async def read(self, work: Work[T]) -> T:
        """Run what changes nothing."""
        return await self._run(work, self.reads)

    async def write(self, work: MarkedWork[T]) -> T:
        """Run one transaction. It marks its attempt, and says what that comes to before it commits. Raises InDoubt."""
        with self._writers.borrow() as writer:
            in_doubt: Attempt | None = None

            async def work_once(connection: AnyConnection) -> T:
                nonlocal in_doubt
                if in_doubt is not None:
                    if await was_committed(connection, in_doubt, writer):
                        result: T = in_doubt.result
                        return result
                    in_doubt = None
                # In doubt even on success: giving the connection back can fail, and then work runs again.
                attempt = in_doubt = writer.attempt()
                try:
                    return await work(connection, attempt)
                except BaseException as error:
                    if not isinstance(error, AWAY) or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                        in_doubt = None  # the database has responded, and it was no commit
                    raise

            try:
                return await self._run(work_once, self.writes)
            except (*OUTAGES, *CONFLICTS, *STATEMENT_LOST) as error:
                if in_doubt is None or not in_doubt.is_marked:
                    raise
                raise InDoubt(f"{type(error).__name__}: {error}") from error

    async def _run(self, work: Work[T], outage: Outage) -> T:
        begun, failures = time.monotonic(), 0
        while True:
            try:
                result = await self._over_conflicts(work)
            except AWAY as error:
                if self._is_node_away(error):
                    raise  # callers retry; sessions of other nodes must not wait
                failures += 1
                outage.begin(begun)
                # A stale connection says nothing about the database; a statement that was too slow will be so again.
                is_stale = failures == 1 and not isinstance(error, TimeoutError)
                if self._closed or (outage.left(begun) <= 0 and not is_stale):
                    raise
                await self._pool.expire_connections()
                await asyncio.sleep(pause(failures))
            except STATEMENT_LOST:
                if self._connector.is_pooled:
                    raise
                self._connector.turn_statements_off("a pooler has lost prepared statements, or mixed them up")
                await self._pool.expire_connections()
            else:
                outage.end()
                return result

    async def _over_conflicts(self, work: Work[T]) -> T:
        try:
            return await self._once(work)
        except CONFLICTS:
            pass
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(CONFLICTS),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.005, max=0.5),
            reraise=True,
        )
        return await retrying(self._once, work)

    def _is_node_away(self, error: BaseException) -> bool:
        """Whether one node of a distributed database is away. Poolers say the same of a plain database."""
        return self._is_distributed and isinstance(error, NODE_AWAY)

    async def _once(self, work: Work[T]) -> T:
        async with self._pool.acquire(timeout=self._connector.seconds) as connection:
            run = object()
            self._running[run] = time.monotonic()
            try:
                return await work(connection)
            except AWAY as error:
                if not self._is_node_away(error):
                    with suppress(asyncpg.InterfaceError):  # it has ended
                        connection.terminate()  # to end it in good order would wait for a server that may hang
                elif connection.is_in_transaction():  # this connection is good, and a new one is slow to use at first
                    await connection.execute("ROLLBACK")
                raise
            finally:
                del self._running[run]

    async def _watch_slow_work(self) -> None:
        """While work is slow, see whether another host has become the primary. Then the connector ends connections."""
        while True:
            await asyncio.sleep(SLOW_SECONDS / 2)
            begun = [*self._running.values(), *self._connector.attempts_begun()]
            if begun and time.monotonic() - min(begun) >= SLOW_SECONDS:
                with suppress(*AWAY, asyncpg.PostgresError, ValueError):
                    await self._connector.look_elsewhere()
