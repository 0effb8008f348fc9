"""Whole sessions in a distributed database, over one connection and within its transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from lockstitch_server.core.format.rows import CheckpointRow, SessionChange
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.buckets import BUCKETS, ROLES, bucket_of
from lockstitch_server.storage.executor import DatabaseFault, Positional
from lockstitch_server.storage.postgres import out_of_place
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.commit_marks import BucketMark
from lockstitch_server.storage.postgres.distributed_apply import apply
from lockstitch_server.storage.postgres.distributed_catalog import DistributedCatalog, by_bucket
from lockstitch_server.storage.postgres.executor import (
    SECONDS,
    PostgresExecutor,
    name_of,
    not_found,
    statements,
    terms_row,
)
from lockstitch_server.storage.postgres.statements import DISTRIBUTED_SQL
from lockstitch_server.storage.reading import Catalog, Reader

SQL = statements(distributed=True)


class DistributedExecutor(PostgresExecutor):
    """Runs statements over a connection. mark: of a transaction that writes."""

    def __init__(self, connection: AnyConnection, clock: DatabaseClock, mark: BucketMark | None = None) -> None:
        super().__init__(connection, clock)
        self._mark = mark
        self.catalog: Catalog = DistributedCatalog(connection, lock=False, mark=mark)
        self.locking: Reader = DistributedCatalog(connection, lock=True, clock=clock, mark=mark)

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        statement = SQL[name]
        if "bucket" in statement.names and _key_of(values) is None:
            return await self._fetch_everywhere(statement, values)
        return await self._fetch(statement, await self._filled(statement, values))

    async def run_all(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        statement = SQL[name]
        rows = [statement.values(await self._filled(statement, row)) for row in values]
        await self._connection.executemany(statement.sql, rows, timeout=SECONDS)

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        if changes:
            await self._put_mark(bucket_of(changes[0].row.key))
        await apply(self._connection, changes)

    async def put_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        if rows:
            await self._put_mark(bucket_of(rows[0].key))
        values = [(*terms_row(tenant, row), bucket_of(row.key)) for row in rows]
        await self._connection.executemany(DISTRIBUTED_SQL["put_terms"], values, timeout=SECONDS)

    async def not_found_by_searches(self, tenant: str, rows: Sequence[CheckpointRow]) -> Sequence[CheckpointRow]:
        missing: list[CheckpointRow] = []
        for bucket, some in by_bucket(rows, lambda row: row.key):
            columns = zip(*map(name_of, some), strict=True)
            found = await self._connection.fetch(DISTRIBUTED_SQL["get_terms"], *columns, bucket)
            missing.extend(not_found(tenant, some, found))
        return missing

    async def database_faults(self) -> Sequence[DatabaseFault]:
        """Rows that are out of place. amcheck is not run: it would see the tables of this node alone."""
        return await out_of_place.find(self._connection, SECONDS)

    async def put_in_place(self, table: str, key: bytes) -> tuple[int, int]:
        await self._put_mark(bucket_of(key))
        return await out_of_place.put_in_place(self._connection, table, key, SECONDS)

    async def _fetch(self, statement: Positional, values: Mapping[str, Any]) -> Sequence[Any]:
        rows: Sequence[Any] = await self._connection.fetch(statement.sql, *statement.values(values), timeout=SECONDS)
        return rows

    async def _fetch_everywhere(self, statement: Positional, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of all buckets in their order, which is that of keys, from the key `after` on."""
        found: list[Any] = []
        first = bucket_of(after) if (after := values.get("after")) else 0
        for bucket in range(first, BUCKETS):
            rest = {"limit": values["limit"] - len(found)} if "limit" in values else {}
            found += await self._fetch(statement, {**values, **rest, "bucket": bucket})
            if len(found) == values.get("limit"):
                break
        return found

    async def _filled(self, statement: Positional, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values with those of the words of `buckets`. Marks the transaction before its first statement."""
        filled, key = dict(values), _key_of(values)
        if key is not None:
            filled["bucket"] = bucket_of(key)
        if "target" in values:
            filled["target_bucket"] = bucket_of(values["target"])
        if "now" in statement.names:
            filled["now"] = await self._connection.fetchval(DISTRIBUTED_SQL["get_clock"])
        await self._put_mark(filled.get("target_bucket", filled.get("bucket", ROLES)))
        return filled

    async def _put_mark(self, bucket: int) -> None:
        """Mark a transaction that writes, unless it is marked."""
        if self._mark is not None:
            await self._mark.put(bucket)


def _key_of(values: Mapping[str, Any]) -> bytes | None:
    """The key of the session that a statement is about."""
    key: bytes | None = values.get("key", values.get("source"))
    return key
