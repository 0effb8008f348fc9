"""Whole sessions in SQLite, in the connection's thread and within its transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from lockstitch_server.core.reading import Catalog
from lockstitch_server.core.records import CheckpointRow, SessionChange
from lockstitch_server.storage import keeper
from lockstitch_server.storage.sqlite.apply import apply, delete_terms
from lockstitch_server.storage.sqlite.catalog import CLOCK, SqliteCatalog

SQL = keeper.load(schema="", clock=CLOCK, by_time="INDEXED BY checkpoints_by_time", lock="")


class SqliteExecutor:
    """Runs statements over a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.catalog: Catalog = SqliteCatalog(connection)

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        return self._connection.execute(SQL[name], values).fetchall()

    async def run_all(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        self._connection.executemany(SQL[name], values)

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        apply(self._connection, changes)

    async def forget_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        for row in rows:
            delete_terms(self._connection, tenant, (row.key, row.namespace, row.checkpoint_id))
