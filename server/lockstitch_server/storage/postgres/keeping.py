"""Whole sessions in Postgres, over one connection and within its transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from lockstitch_server.core.reading import Catalog
from lockstitch_server.core.records import CheckpointRow, SessionChange
from lockstitch_server.storage import keeper
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.postgres.apply import apply
from lockstitch_server.storage.postgres.catalog import CLOCK, PostgresCatalog

NAMED = keeper.load(schema="lockstitch.", clock=CLOCK, by_time="", lock="FOR UPDATE")
SQL = {name: keeper.positional(sql) for name, sql in NAMED.items()}
SECONDS = 300.0
"""How long a statement may take: a copy may be of gigabytes."""


class PostgresExecutor:
    """Runs statements over a connection."""

    def __init__(self, connection: AnyConnection) -> None:
        self._connection = connection
        self.catalog: Catalog = PostgresCatalog(connection, lock=False)

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
