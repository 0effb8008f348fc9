"""Whole sessions in Postgres, over one connection and within its transaction."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from lockstitch_server.core.format.parts import damaged
from lockstitch_server.core.format.rows import CheckpointRow, SessionChange
from lockstitch_server.core.format.search_terms import stored_terms
from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.storage import executor
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import DatabaseFault
from lockstitch_server.storage.postgres.apply import apply
from lockstitch_server.storage.postgres.catalog import PostgresCatalog
from lockstitch_server.storage.postgres.checking import DAMAGE, TABLES, database_faults
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.statements import CLOCK
from lockstitch_server.storage.postgres.statements import SQL as STATEMENTS
from lockstitch_server.storage.reading import Catalog, Reader

T = TypeVar("T")


def statements(*, distributed: bool) -> Mapping[str, executor.Positional]:
    """The statements of `sessions.sql`."""
    crc = "crc # CAST(:moved AS INTEGER)"
    named = executor.load(
        distributed=distributed, schema="lockstitch.", clock=CLOCK, by_time="", lock="FOR UPDATE", crc_of_copy=crc
    )
    return {name: executor.positional(sql) for name, sql in named.items()}


SQL = statements(distributed=False)
SECONDS = 300.0
"""How long a statement may take: a copy may be of gigabytes."""


class PostgresExecutor:
    """Runs statements over a connection."""

    def __init__(self, connection: AnyConnection, clock: DatabaseClock) -> None:
        self._connection = connection
        self.catalog: Catalog = PostgresCatalog(connection, lock=False)
        self.locking: Reader = PostgresCatalog(connection, lock=True, clock=clock)

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        statement = SQL[name]
        rows: Sequence[Any] = await self._connection.fetch(statement.sql, *statement.values(values), timeout=SECONDS)
        return rows

    async def run_all(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        statement = SQL[name]
        await self._connection.executemany(statement.sql, [statement.values(row) for row in values], timeout=SECONDS)

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        await apply(self._connection, changes)

    async def forget_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        """Nothing to do: they stand in the checkpoint's own row."""

    async def forget_first_terms(self, tenant: str, key: bytes, count: int) -> None:
        """Nothing to do, for the same reason."""

    async def forget_stray_terms(self) -> None:
        """Nothing to do, for the same reason."""

    async def put_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        values = [terms_row(tenant, row) for row in rows]
        await self._connection.executemany(STATEMENTS["put_terms"], values, timeout=SECONDS)

    async def not_found_by_searches(self, tenant: str, rows: Sequence[CheckpointRow]) -> Sequence[CheckpointRow]:
        if not rows:
            return []
        found = await self._connection.fetch(STATEMENTS["get_terms"], *zip(*map(name_of, rows), strict=True))
        return not_found(tenant, rows, found)

    async def guarded(self, work: Awaitable[T]) -> T:
        await self._connection.execute("SAVEPOINT part")
        try:
            result = await work
        except DAMAGE as error:
            await self._connection.execute("ROLLBACK TO SAVEPOINT part")
            raise damaged() from error
        await self._connection.execute("RELEASE SAVEPOINT part")
        return result

    async def database_faults(self) -> Sequence[DatabaseFault]:
        return [fault async for fault in database_faults(self._connection, self.guarded)]

    async def reindex(self) -> None:
        for table in TABLES:
            await self._connection.execute(f"REINDEX TABLE lockstitch.{table}", timeout=SECONDS)

    async def put_in_place(self, table: str, key: bytes) -> tuple[int, int]:
        """Nothing to do: only a distributed database has places."""
        return 0, 0


def name_of(row: CheckpointRow) -> tuple[bytes, str, str]:
    """The key of a checkpoint's row."""
    return row.key, row.namespace, row.checkpoint_id


def terms_row(tenant: str, row: CheckpointRow) -> tuple[Any, ...]:
    """The parameters of `put_terms`."""
    return *name_of(row), tenant_hash(tenant), list(stored_terms(tenant, row)) or None


def not_found(tenant: str, rows: Sequence[CheckpointRow], found: Sequence[Any]) -> Sequence[CheckpointRow]:
    """The checkpoints that have not the terms that they should have. found: rows of `get_terms`."""
    known = {(row[0], row[1], row[2]): (row[3], frozenset(row[4] or ())) for row in found}
    return [row for row in rows if name_of(row) in known and not _is_found(tenant, row, *known[name_of(row)])]


def _is_found(tenant: str, row: CheckpointRow, found_hash: int, terms: frozenset[int]) -> bool:
    return terms.issuperset(stored_terms(tenant, row)) and found_hash == tenant_hash(tenant)
