"""The Postgres store: one connection writes, a pool reads."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import asyncpg
import structlog
from asyncpg import Pool, Record
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.parts import RowSizes, damaged
from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import LostRace
from lockstitch_server.storage.libpq.address import AddressInvalid, read_address
from lockstitch_server.storage.libpq.connector import STATEMENT_LOST, Connector, NamedConnection
from lockstitch_server.storage.migrations.postgres import READING, SERVING, check_schema, migrate_postgres
from lockstitch_server.storage.postgres.apply import apply_if_unchanged
from lockstitch_server.storage.postgres.catalog import PostgresCatalog
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.errors import failure_of
from lockstitch_server.storage.postgres.executor import PostgresExecutor
from lockstitch_server.storage.postgres.pinger import Pinger
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.shielded import shielded
from lockstitch_server.storage.store import Connections, PointUnit, SessionUnit, StoreError

T = TypeVar("T")
Work = Callable[[AnyConnection], Awaitable[T]]

ROW_SIZES = RowSizes(full=400, most=1900)
"""Growing a row leaves its old version behind until the page is pruned, so only small ones grow. Larger values than
the most would be moved out of their rows."""
CLOSE_SECONDS = 5.0
COMMAND_SECONDS = 15.0
ATTEMPTS = 8
# READ COMMITTED: what is read after the sessions' rows are locked is what their last writers left. The timeout: a
# server that freezes, or is cut off, within a transaction must not keep others from the sessions that it has locked.
READ_COMMITTED = "READ COMMITTED"
BEGIN = f"BEGIN ISOLATION LEVEL {READ_COMMITTED}; SET LOCAL idle_in_transaction_session_timeout = '5s'"

BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BEGIN_LONE = f"BEGIN ISOLATION LEVEL {READ_COMMITTED} READ ONLY"
PLAN_AGAIN = "SET LOCAL plan_cache_mode = auto"

CONFLICTS = (
    LostRace,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
"""What goes away by trying again."""
DROPPED = (
    ConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What a pooled connection says whose server has gone: another connection may do."""
OUTAGES = (
    *DROPPED,
    OSError,
    TimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What means that the database is away, going away, full, no primary, or not for this role."""

log = structlog.get_logger(__name__)


class PostgresStore:
    """Checkpoints in a Postgres database, schema `lockstitch`."""

    row_sizes = ROW_SIZES

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        migrate: bool,
        read_only: bool = False,
        statement_cache: bool = True,
    ) -> None:
        """Raises StoreError for a URL that cannot be used."""
        try:
            self.address = read_address(url)
        except AddressInvalid as error:
            raise StoreError(str(error)) from None
        self._connector = Connector(self.address, statement_cache=statement_cache, writes=not read_only)
        self._rights = READING if read_only else SERVING
        self._migrate = migrate
        self.readers = pool_size
        self._pool: Pool[Record] | None = None
        self._pinger = Pinger(self._connector)
        self._clock = DatabaseClock()

    @property
    def connections(self) -> Connections | None:
        if self._pool is None:
            return None
        idle = self._pool.get_idle_size()
        return Connections(self._pool.get_size() - idle, idle, self._pool.get_max_size())

    async def open(self) -> str | None:
        try:
            found = await migrate_postgres(self._connector) if self._migrate else None
            # One connection more than readers: the writer's.
            self._pool = await asyncpg.create_pool(
                connect=cast(Any, self._connector.connect_for_pool),
                connection_class=NamedConnection,
                min_size=1,
                max_size=self.readers + 1,
                command_timeout=COMMAND_SECONDS,
                reset=_leave_as_it_is,
            )
            async with self._pool.acquire() as connection:
                await _transacted(connection, BEGIN_LONE, partial(check_schema, str(self.address), self._rights))
        except StoreError:
            await self.close()
            raise
        except (*OUTAGES, asyncpg.PostgresError, ValueError) as error:
            await self.close()
            problem = str(error) or type(error).__name__
            raise StoreError(f"cannot use the Postgres database {self.address}: {problem}") from error
        return found

    async def close(self) -> None:
        self._pinger.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
            except TimeoutError:
                pool.terminate()

    async def ping(self) -> None:
        await self._pinger.ping()

    async def try_write(self, free_bytes: int) -> None:
        await self._pinger.try_write()

    def _begin(self, how: str) -> str:
        """How a transaction begins in which more is done than to look rows up by their keys."""
        return f"{how}; {PLAN_AGAIN}" if self._connector.can_plan_once else how

    async def _without_transaction(self, connection: AnyConnection, begin: str, work: Work[T]) -> T:
        """Run single statements, in a transaction only behind a pooler: it may send each message to another server."""
        return await (_transacted(connection, begin, work) if self._connector.is_pooled else work(connection))

    async def snapshot(self, unit: SessionUnit[T]) -> T:
        return await self._transacted(unit, self._begin(BEGIN_SNAPSHOT))

    async def point_reads(self, unit: PointUnit[T]) -> T:
        return await shielded(
            self._run(lambda connection: self._without_transaction(connection, BEGIN_LONE, partial(_asked, unit)))
        )

    def clock(self) -> int:
        return self._clock.now()

    async def apply_if_unchanged(
        self, expected: Sequence[ExpectedVersion], changes: Sequence[SessionChange], now: int
    ) -> bool:
        def work(connection: AnyConnection) -> Awaitable[tuple[bool, int]]:
            return apply_if_unchanged(connection, expected, changes, now)

        holds, clock = await shielded(self._run(lambda connection: self._without_transaction(connection, BEGIN, work)))
        self._clock.saw(clock)
        return holds

    async def transaction(self, unit: SessionUnit[T], *, snapshot: bool = False, by_key: bool = False) -> T:
        how = BEGIN.replace(READ_COMMITTED, "REPEATABLE READ") if snapshot else BEGIN
        return await self._transacted(unit, how if by_key else self._begin(how))

    async def _transacted(self, unit: SessionUnit[T], begin: str) -> T:
        async def work(connection: AnyConnection) -> T:
            return await unit(SessionRepository(PostgresExecutor(connection, self._clock)))

        return await shielded(self._run(lambda connection: _transacted(connection, begin, work)))

    async def _run(self, function: Work[T]) -> T:
        if self._pool is None:
            raise Failure(Reason.STORE_UNAVAILABLE, "the database is closed")
        try:
            return await self._run_again_at_need(self._pool, function)
        except (*OUTAGES, *CONFLICTS, *STATEMENT_LOST) as error:
            failure = failure_of(error)
            kind = type(error).__name__
            log.warning("postgres_unavailable", reason=failure.reason, error=kind, detail=str(error))
            raise failure from error
        except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
            log.error("postgres_damaged", detail=str(error))
            raise damaged() from error

    async def _run_again_at_need(self, pool: "Pool[Record]", function: Work[T]) -> T:
        """Running again is safe even where the answer to a commit was lost: the same saves are then found unchanged."""
        try:
            return await self._run_once(pool, function)
        except DROPPED:
            await pool.expire_connections()
        except STATEMENT_LOST:
            self._connector.turn_statements_off("a pooler has lost prepared statements, or mixed them up")
            await pool.expire_connections()
        except CONFLICTS:
            pass
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(CONFLICTS),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.005, max=0.5),
            reraise=True,
        )
        return await retrying(self._run_once, pool, function)

    async def _run_once(self, pool: "Pool[Record]", function: Work[T]) -> T:
        async with pool.acquire(timeout=self._connector.seconds) as connection:
            return await function(connection)


async def _leave_as_it_is(connection: AnyConnection) -> None:
    """In place of asyncpg's own, a trip to the database after every use: nothing here changes a connection's state."""


async def _transacted(connection: AnyConnection, begin: str, work: Work[T]) -> T:
    """Do the work within a transaction: all of it or nothing."""
    await connection.execute(begin)
    try:
        result = await work(connection)
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return result


async def _asked(unit: PointUnit[T], connection: AnyConnection) -> T:
    return await unit(PostgresCatalog(connection, lock=False))
