"""Postgres' own check of tables and indexes, where the extension amcheck is installed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg

from lockstitch_server.core.errors import Failure
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import DatabaseFault
from lockstitch_server.storage.postgres.statements import SQL

DAMAGE = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError, asyncpg.InternalServerError)
"""What Postgres says of pages, rows and values that cannot be what was written."""
TABLES = ("sessions", "checkpoints", "segments", "writes")
SECONDS = 3600.0
SHOWN = 20
"""Faults of a table's rows that are given."""

Guarded = Callable[[Awaitable[Any]], Awaitable[Any]]


async def database_faults(connection: AnyConnection, guarded: Guarded) -> AsyncIterator[DatabaseFault]:
    """What amcheck finds. Nothing where it is not installed. guarded: lets the transaction go on after an error."""
    schema = await connection.fetchval(SQL["has_amcheck"])
    if schema is None:
        return
    for table in TABLES:
        sql = f"SELECT blkno, offnum, msg FROM {schema}.verify_heapam('lockstitch.{table}') LIMIT {SHOWN}"  # noqa: S608
        try:
            for block, offset, message in await guarded(connection.fetch(sql, timeout=SECONDS)):
                yield DatabaseFault(table, f"block {block}, row {offset}: {message}")
        except Failure as failure:
            yield DatabaseFault(table, f"the table cannot be checked: {failure.__cause__}")
    for oid, table, index in await connection.fetch(SQL["btree_indexes"], TABLES):
        sql = f"SELECT {schema}.bt_index_check($1::oid::regclass, true)"
        try:
            await guarded(connection.fetchval(sql, oid, timeout=SECONDS))
        except Failure as failure:
            yield DatabaseFault(table, f"index {index}: {failure.__cause__}")
