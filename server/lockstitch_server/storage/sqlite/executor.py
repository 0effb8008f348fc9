"""Whole sessions in SQLite, in the connection's thread and within its transaction."""

import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from lockstitch_server.core.format.parts import damaged
from lockstitch_server.core.format.rows import CheckpointRow, SessionChange
from lockstitch_server.core.format.search_terms import stored_terms
from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.storage import executor
from lockstitch_server.storage.executor import DatabaseFault
from lockstitch_server.storage.reading import Catalog, Reader
from lockstitch_server.storage.sqlite.apply import apply, delete_first_terms, delete_terms
from lockstitch_server.storage.sqlite.catalog import CLOCK, SqliteCatalog
from lockstitch_server.storage.sqlite.catalog import SQL as STATEMENTS
from lockstitch_server.storage.sqlite.checking import database_faults, is_damage

T = TypeVar("T")

CRC_OF_COPY = "(crc | :moved) - (crc & :moved)"
"""XOR, for which SQLite has no operator."""
SQL = executor.load(schema="", clock=CLOCK, by_time="INDEXED BY checkpoints_by_time", lock="", crc_of_copy=CRC_OF_COPY)


class SqliteExecutor:
    """Runs statements over a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.catalog: Catalog = SqliteCatalog(connection)
        self.locking: Reader = self.catalog  # a transaction that writes has the whole file

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(SQL[name], values).fetchall()

    async def run_all(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        self._connection.executemany(SQL[name], values)

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        apply(self._connection, changes)

    async def forget_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        for row in rows:
            delete_terms(self._connection, tenant, (row.key, row.namespace, row.checkpoint_id))

    async def forget_first_terms(self, tenant: str, key: bytes, count: int) -> None:
        delete_first_terms(self._connection, tenant, key, count)

    async def forget_stray_terms(self) -> None:
        self._connection.execute(STATEMENTS["delete_stray_terms"])

    async def put_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        for row in rows:
            number, _ = self._number(row)
            self._connection.execute(STATEMENTS["delete_terms"], (number,))
            terms = [(term, number) for term in stored_terms(tenant, row)]
            self._connection.executemany(STATEMENTS["put_terms"], terms)
            self._connection.execute(STATEMENTS["put_tenant_hash"], (tenant_hash(tenant), number))

    async def not_found_by_searches(self, tenant: str, rows: Sequence[CheckpointRow]) -> Sequence[CheckpointRow]:
        return [row for row in rows if not self._is_found(tenant, row)]

    async def guarded(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            raise damaged() from error

    async def database_faults(self) -> Sequence[DatabaseFault]:
        return database_faults(self._connection)

    async def reindex(self) -> None:
        self._connection.execute("REINDEX")

    async def put_in_place(self, table: str, key: bytes) -> tuple[int, int]:
        """Nothing to do: only a distributed database has places."""
        return 0, 0

    def _is_found(self, tenant: str, row: CheckpointRow) -> bool:
        number, found_hash = self._number(row)
        return all(self._has_term(term, number) for term in stored_terms(tenant, row)) and found_hash == tenant_hash(
            tenant
        )

    def _has_term(self, term: int, number: int) -> bool:
        return self._connection.execute(STATEMENTS["has_term"], (term, number)).fetchone() is not None

    def _number(self, row: CheckpointRow) -> tuple[int, int]:
        name = (row.key, row.namespace, row.checkpoint_id)
        number, found_hash = self._connection.execute(STATEMENTS["get_number"], name).fetchone()
        return number, found_hash
