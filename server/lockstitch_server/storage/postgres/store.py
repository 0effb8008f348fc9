"""The Postgres store: one connection writes, a pool reads."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import asyncpg
import structlog
from asyncpg import Pool, Record

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.parts import RowSizes, damaged
from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.libpq.address import AddressInvalid, read_address
from lockstitch_server.storage.libpq.connector import STATEMENT_LOST, Connector, NamedConnection
from lockstitch_server.storage.migrations.postgres import READING, SERVING, check_schema, migrate_postgres
from lockstitch_server.storage.postgres.access import Access, PlainAccess
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.commit_marks import Attempt, remove_old_marks
from lockstitch_server.storage.postgres.distributed_access import DistributedAccess
from lockstitch_server.storage.postgres.errors import AWAY, CONFLICTS, OUTAGES, InDoubt, failure_of
from lockstitch_server.storage.postgres.pinger import Pinger
from lockstitch_server.storage.postgres.reclaiming import reclaim_space
from lockstitch_server.storage.postgres.runner import MarkedWork, Runner, Work
from lockstitch_server.storage.postgres.slots import Slots
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.shielded import shielded
from lockstitch_server.storage.store import Connections, PointUnit, SessionUnit, StoreError

T = TypeVar("T")

ROW_SIZES = RowSizes(full=400, most=1900)
"""Growing a row leaves its old version behind until the page is pruned, so only small ones grow. Larger values than
the most would be moved out of their rows."""
CLOSE_SECONDS = 5.0
COMMAND_SECONDS = 15.0
# READ COMMITTED: what is read after the sessions' rows are locked is what their last writers left. The timeout: a
# server that freezes, or is cut off, within a transaction must not keep others from the sessions that it has locked.
READ_COMMITTED = "READ COMMITTED"
BEGIN = f"BEGIN ISOLATION LEVEL {READ_COMMITTED}; SET LOCAL idle_in_transaction_session_timeout = '5s'"

BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BEGIN_LONE = f"BEGIN ISOLATION LEVEL {READ_COMMITTED} READ ONLY"
PLAN_AGAIN = "SET LOCAL plan_cache_mode = auto"

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
        failover_seconds: float = 10.0,
        write_connections: int = 8,
    ) -> None:
        """Raises StoreError for a URL that cannot be used.

        write_connections: how many transactions may write a distributed database at once.
        failover_seconds: how long calls wait for a database that is away before they fail.
        """
        try:
            self.address = read_address(url)
        except AddressInvalid as error:
            raise StoreError(str(error)) from None
        self._connector = Connector(self.address, statement_cache=statement_cache, writes=not read_only)
        self._rights = READING if read_only else SERVING
        self._migrate = migrate
        self.readers = pool_size
        self._slots = Slots(pool_size)
        self._write_connections = write_connections
        self._access: Access = PlainAccess()
        self._failover_seconds = failover_seconds
        self._pool: Pool[Record] | None = None
        self._runner: Runner | None = None
        self._pinger = Pinger(self._connector)
        self._clock = DatabaseClock()

    @property
    def is_distributed(self) -> bool:
        return self._access.is_distributed

    @property
    def writers(self) -> int:
        return self._write_connections if self.is_distributed else 1

    @property
    def connections(self) -> Connections | None:
        if self._pool is None:
            return None
        idle = self._pool.get_idle_size()
        return Connections(self._pool.get_size() - idle, idle, self._pool.get_max_size())

    async def open(self) -> str | None:
        try:
            found = await migrate_postgres(self._connector) if self._migrate else None
            await self._look()
            # More connections than readers: the writers'.
            self._pool = await asyncpg.create_pool(
                connect=cast(Any, self._connector.connect_for_pool),
                connection_class=NamedConnection,
                min_size=1,
                max_size=self.readers + self.writers,
                command_timeout=COMMAND_SECONDS,
                reset=_leave_as_it_is,
            )
            self._runner = Runner(
                self._connector,
                self._pool,
                self._clock,
                self._failover_seconds,
                is_distributed=self.is_distributed,
            )
        except StoreError:
            await self.close()
            raise
        except (*OUTAGES, asyncpg.PostgresError, ValueError) as error:
            await self.close()
            problem = str(error) or type(error).__name__
            raise StoreError(f"cannot use the Postgres database {self.address}: {problem}") from error
        return found

    async def _look(self) -> None:
        """See that the database can be used, and how. Raises StoreError."""
        connection = await self._connector.connect(command_timeout=COMMAND_SECONDS)
        try:
            check = partial(check_schema, str(self.address), self._rights)
            if await _transacted(connection, BEGIN_LONE, check):
                self._access = DistributedAccess()
                self._pinger.is_distributed = True
                self._connector.plan_always()
            if self._rights is SERVING:
                self._clock.saw(await _transacted(connection, BEGIN, remove_old_marks))
                await _transacted(connection, BEGIN_LONE, _warn_of_lazy_commits)
        finally:
            connection.terminate()

    async def close(self) -> None:
        self._pinger.close()
        runner, self._runner = self._runner, None
        pool, self._pool = self._pool, None
        if runner is not None:
            runner.close()
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
            except TimeoutError:
                pool.terminate()

    async def ping(self) -> None:
        try:
            await self._pinger.ping()
        except Failure:
            if self._pool is not None:  # its connections may be to a server that is no primary any more
                await self._pool.expire_connections()
            raise
        if self._runner is not None:
            self._runner.works()

    async def try_write(self, free_bytes: int) -> None:
        await self._pinger.try_write()

    def _begin(self, how: str) -> str:
        """How a transaction begins in which more is done than to look rows up by their keys."""
        return f"{how}; {PLAN_AGAIN}" if self._connector.can_plan_once else how

    async def snapshot(self, unit: SessionUnit[T]) -> T:
        begin = self._begin(BEGIN_SNAPSHOT)

        async def work(connection: AnyConnection) -> T:
            return await unit(SessionRepository(self._access.executor(connection, self._clock)))

        return await self._read(lambda connection: _transacted(connection, begin, work))

    async def point_reads(self, unit: PointUnit[T]) -> T:
        async def work(connection: AnyConnection) -> T:
            return await unit(self._access.catalog(connection))

        # Single statements need a transaction only behind a pooler, which may send each message to another server.
        is_pooled = self._connector.is_pooled
        return await self._read(
            lambda connection: _transacted(connection, BEGIN_LONE, work) if is_pooled else work(connection)
        )

    def clock(self) -> int:
        return self._clock.now()

    async def apply_if_unchanged(
        self, expected: Sequence[ExpectedVersion], changes: Sequence[SessionChange], now: int
    ) -> bool:
        async def work(connection: AnyConnection, attempt: Attempt) -> bool:
            attempt.result = True

            def statements(connection: AnyConnection) -> Awaitable[tuple[bool, int]]:
                return self._access.apply_if_unchanged(connection, expected, changes, now, attempt)

            in_transaction = self._connector.is_pooled or self.is_distributed
            done = _transacted(connection, BEGIN, statements) if in_transaction else statements(connection)
            holds, clock = await done
            self._clock.saw(clock)
            return holds

        return await self._save(work)

    async def transaction(self, unit: SessionUnit[T], *, snapshot: bool = False, by_key: bool = False) -> T:
        how = BEGIN.replace(READ_COMMITTED, "REPEATABLE READ") if snapshot else BEGIN
        begin = how if by_key else self._begin(how)

        async def work(connection: AnyConnection, attempt: Attempt) -> T:
            executor = await self._access.begin(connection, begin, attempt, self._clock)
            return await _to_the_end(connection, lambda _: unit(SessionRepository(executor)), attempt)

        return await (self._save(work) if by_key else self._write(work))

    async def reclaim_space(self, replaced: int) -> bool:
        return await self._read(partial(reclaim_space, replaced=replaced))

    async def _read(self, work: Work[T]) -> T:
        await self._take_slot(lambda runner, begun: runner.reads.is_too_long(begun))
        return await shielded(self._reported(lambda runner: runner.read(work)), self._slots.release)

    async def _write(self, work: MarkedWork[T]) -> T:
        await self._take_slot(lambda runner, begun: runner.writes.is_too_long(begun))
        return await shielded(self._reported(lambda runner: runner.write(work)), self._slots.release)

    async def _save(self, work: MarkedWork[T]) -> T:
        return await shielded(self._reported(lambda runner: runner.write(work)))

    async def _take_slot(self, is_outage_too_long: Callable[[Runner, float], bool]) -> None:
        begun = time.monotonic()

        def gives_up() -> bool:
            return self._runner is None or is_outage_too_long(self._runner, begun)

        await self._slots.take(gives_up, self._connector.seconds)

    async def _reported(self, run: Callable[[Runner], Awaitable[T]]) -> T:
        if self._runner is None:
            raise Failure(Reason.STORE_UNAVAILABLE, "the database is closed")
        try:
            return await run(self._runner)
        except (*OUTAGES, *CONFLICTS, *STATEMENT_LOST, InDoubt) as error:
            failure = failure_of(error)
            kind = type(error).__name__
            log.warning("postgres_unavailable", reason=failure.reason, error=kind, detail=str(error))
            raise failure from error
        except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
            log.error("postgres_damaged", detail=str(error))
            raise damaged() from error


async def _leave_as_it_is(connection: AnyConnection) -> None:
    """In place of asyncpg's own, a trip to the database after every use: nothing here changes a connection's state."""


async def _transacted(connection: AnyConnection, begin: str, work: Work[T]) -> T:
    """Do the work within a transaction: all of it or nothing."""
    await connection.execute(begin)
    return await _to_the_end(connection, work)


async def _to_the_end(connection: AnyConnection, work: Work[T], attempt: Attempt | None = None) -> T:
    """Do the work within the transaction that was begun, and commit. attempt: gets the result before."""
    try:
        result = await work(connection)
    except AWAY:
        raise  # there is nobody to roll back
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    if attempt is not None:
        attempt.result = result
    try:
        await connection.execute("COMMIT")
    except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError):
        raise
    except asyncpg.InternalServerError as error:
        # Citus says so if it lost the connection to a node while that one committed. The mark tells.
        raise ConnectionError(f"it is not known whether the transaction is committed: {error}") from error
    return result


async def _warn_of_lazy_commits(connection: AnyConnection) -> None:
    if await connection.fetchval("SELECT current_setting('synchronous_commit')") == "off":
        detail = "Postgres acknowledges commits before they are on disk: a crash loses saves that were acknowledged"
        log.warning("postgres_synchronous_commit_off", detail=detail, setting="synchronous_commit")
