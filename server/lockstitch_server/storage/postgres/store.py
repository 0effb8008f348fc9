"""The Postgres store: one connection writes, a pool reads."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg
import structlog
from asyncpg import Pool, Record
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.parts import RowSizes, damaged
from lockstitch_server.core.records import Basis, SessionChange
from lockstitch_server.core.redaction import redact
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.detached import detached
from lockstitch_server.storage.keeper import Keeper, LostRace
from lockstitch_server.storage.migrations.postgres import check_schema, migrate_postgres
from lockstitch_server.storage.postgres.apply import apply, commit
from lockstitch_server.storage.postgres.catalog import PostgresCatalog
from lockstitch_server.storage.postgres.keeping import PostgresExecutor
from lockstitch_server.storage.postgres.pinger import Pinger
from lockstitch_server.storage.store import Connections, KeepUnit, ReadUnit, StoreError, WriteUnit

T = TypeVar("T")

ROW_SIZES = RowSizes(full=400, most=1900)
"""Growing a row leaves its old version behind until the page is pruned, so only small ones grow. Larger values than
the most would be moved out of their rows."""
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 15.0
ATTEMPTS = 8
# READ COMMITTED: what is read after the sessions' rows are locked is what their last writers left. The timeout: a
# server that freezes, or is cut off, within a transaction must not keep others from the sessions that it has locked.
READ_COMMITTED = "READ COMMITTED"
BEGIN = f"BEGIN ISOLATION LEVEL {READ_COMMITTED}; SET LOCAL idle_in_transaction_session_timeout = '5s'"

BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Where rows are looked up by their keys, Postgres need not plan that anew at every use, which takes longer than a lone
# look-up. By itself it goes on planning: for given arrays, which are short, a plan looks cheaper than for any.
PLAN_ONCE = "SET SESSION plan_cache_mode = force_generic_plan"
PLAN_ANEW = "SET LOCAL plan_cache_mode = auto"
CANNOT_BE_SET = (asyncpg.UndefinedObjectError, asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError)

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
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What means that the database is away, going away, or no primary."""

log = structlog.get_logger(__name__)


class PostgresStore:
    """Checkpoints in a Postgres database, schema `lockstitch`."""

    row_sizes = ROW_SIZES

    def __init__(self, url: str, *, pool_size: int, migrate: bool, for_saves: bool = False) -> None:
        self._url = url
        self._migrate = migrate
        self._for_saves = for_saves
        self.readers = pool_size
        self._pool: Pool[Record] | None = None
        self._can_plan_once = True
        """Other databases speak Postgres' protocol too, and may not know of it."""
        self._pinger = Pinger(url)

    @property
    def files(self) -> str:
        return ""

    @property
    def connections(self) -> Connections | None:
        if self._pool is None:
            return None
        idle = self._pool.get_idle_size()
        return Connections(self._pool.get_size() - idle, idle, self._pool.get_max_size())

    async def open(self) -> None:
        try:
            if self._migrate:
                await migrate_postgres(self._url)
            # One connection more than readers: the writer's.
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self.readers + 1,
                timeout=CONNECT_SECONDS,
                command_timeout=COMMAND_SECONDS,
                statement_cache_size=256,
                init=self._prepare,
                reset=_leave_as_it_is,
            )
            async with self._pool.acquire() as connection:
                if not self._for_saves:
                    await check_schema(connection, redact(self._url))
        except StoreError:
            await self.close()
            raise
        except (*OUTAGES, asyncpg.PostgresError, ValueError) as error:
            await self.close()
            problem = redact(str(error)) or type(error).__name__
            raise StoreError(f"cannot use the Postgres database {redact(self._url)}: {problem}") from error

    async def close(self) -> None:
        self._pinger.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except TimeoutError:
                pool.terminate()

    async def ping(self) -> None:
        await self._pinger.ping()

    async def _prepare(self, connection: AnyConnection) -> None:
        """Set up a new connection."""
        try:
            await connection.execute(PLAN_ONCE)
        except CANNOT_BE_SET:
            self._can_plan_once = False

    def _begin(self, how: str) -> str:
        """How a transaction begins in which more is done than to look rows up by their keys."""
        return f"{how}; {PLAN_ANEW}" if self._can_plan_once else how

    async def read(self, unit: ReadUnit[T]) -> T:
        begin = self._begin(BEGIN_SNAPSHOT)
        return await detached(self._run(lambda connection: _in_snapshot(connection, unit, begin)))

    async def ask(self, unit: ReadUnit[T]) -> T:
        return await detached(self._run(lambda connection: unit(PostgresCatalog(connection, lock=False))))

    async def write(self, unit: WriteUnit[T]) -> T:
        return await detached(self._run(lambda connection: _in_transaction(connection, unit)))

    async def commit(self, basis: Sequence[Basis], changes: Sequence[SessionChange]) -> bool:
        return await detached(self._run(lambda connection: commit(connection, basis, changes)))

    async def keep(self, unit: KeepUnit[T], *, snapshot: bool = False) -> T:
        begin = self._begin(BEGIN.replace(READ_COMMITTED, "REPEATABLE READ") if snapshot else BEGIN)
        return await detached(self._run(lambda connection: _kept(connection, unit, begin)))

    async def look(self, unit: KeepUnit[T]) -> T:
        begin = self._begin(BEGIN_SNAPSHOT)
        return await detached(self._run(lambda connection: _looked_at(connection, unit, begin)))

    async def _run(self, function: Callable[[AnyConnection], Awaitable[T]]) -> T:
        if self._pool is None:
            raise Failure(Reason.STORE_UNAVAILABLE, "the database is closed")
        try:
            return await self._run_again_at_need(self._pool, function)
        except (*OUTAGES, *CONFLICTS) as error:
            log.warning("postgres_unavailable", error=type(error).__name__, detail=str(error))
            raise Failure(Reason.STORE_UNAVAILABLE, "the database cannot be reached now") from error
        except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
            log.error("postgres_damaged", detail=str(error))
            raise damaged() from error

    async def _run_again_at_need(self, pool: "Pool[Record]", function: Callable[[AnyConnection], Awaitable[T]]) -> T:
        """Running again is safe even where the answer to a commit was lost: the same saves are then found unchanged."""
        try:
            return await _run_once(pool, function)
        except DROPPED:
            await pool.expire_connections()
        except CONFLICTS:
            pass
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(CONFLICTS),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.005, max=0.5),
            reraise=True,
        )
        return await retrying(_run_once, pool, function)


async def _leave_as_it_is(connection: AnyConnection) -> None:
    """In place of asyncpg's own, a trip to the database after every use: nothing here changes a connection's state."""


async def _run_once(pool: "Pool[Record]", function: Callable[[AnyConnection], Awaitable[T]]) -> T:
    async with pool.acquire(timeout=CONNECT_SECONDS) as connection:
        return await function(connection)


async def _in_snapshot(connection: AnyConnection, unit: ReadUnit[T], begin: str) -> T:
    await connection.execute(begin)
    try:
        return await unit(PostgresCatalog(connection, lock=False))
    finally:
        await connection.execute("COMMIT")


async def _looked_at(connection: AnyConnection, unit: KeepUnit[T], begin: str) -> T:
    await connection.execute(begin)
    try:
        return await unit(Keeper(PostgresExecutor(connection)))
    finally:
        await connection.execute("COMMIT")


async def _kept(connection: AnyConnection, unit: KeepUnit[T], begin: str) -> T:
    await connection.execute(begin)
    try:
        result = await unit(Keeper(PostgresExecutor(connection)))
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return result


async def _in_transaction(connection: AnyConnection, unit: WriteUnit[T]) -> T:
    await connection.execute(BEGIN)
    try:
        changes, result = await unit(PostgresCatalog(connection, lock=True))
        await apply(connection, changes)
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return result
