"""How a database becomes a distributed one: tables get buckets, and Citus spreads them over its nodes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.buckets import BUCKETS
from lockstitch_server.storage.migrations import POSTGRES_SCHEMA
from lockstitch_server.storage.migrations.columns import Column, Tables
from lockstitch_server.storage.migrations.steps import text_of
from lockstitch_server.storage.store import StoreError

if TYPE_CHECKING:
    from lockstitch_server.storage.libpq.connector import Connector

TABLES = ("sessions", "checkpoints", "segments", "writes", "elections")
BUCKET = {"bucket": Column("integer", True)}
LOCK = 0x4C6B5374
"""Keeps programs that change the schema at once from getting in each other's way."""
SHARDS = 32
"""How many shards a database gets if the caller names no number, as Citus has it."""
SECONDS = 24 * 3600.0
"""How long it may take to rewrite all tables, and to copy them to other nodes."""
HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
HAS_BUCKETS = """
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('lockstitch.sessions') AND attname = 'bucket' AND NOT attisdropped)
"""
FIRST = "SELECT create_distributed_table($1::regclass, 'bucket', shard_count => $2, colocate_with => 'none')"
NEXT = "SELECT create_distributed_table($1::regclass, 'bucket', colocate_with => $2)"
FORGET = "SELECT truncate_local_data_after_distributing_table($1::regclass)"
# Without that, the database finishes a statement whose client was killed, and keeps the tables locked meanwhile.
# PostgreSQL 13 does not have the setting.
NOTICE_END_OF_CLIENT = """
SELECT set_config(name, '2s', true) FROM pg_settings WHERE name = 'client_connection_check_interval'
"""
_ERRORS = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)


def has_buckets(found: Mapping[str, Mapping[str, Column]]) -> bool:
    """Whether the tables that were found are those of a distributed database."""
    return "bucket" in found.get(TABLES[0], {})


def with_buckets(tables: Tables) -> Tables:
    """The columns of tables of a distributed database, by those of a plain one."""
    return {name: {**columns, **(BUCKET if name in TABLES else {})} for name, columns in tables.items()}


async def is_distributed(connection: AnyConnection) -> bool:
    """Whether a database is distributed."""
    return bool(await connection.fetchval(HAS_BUCKETS))


async def check(connector: "Connector", shards: int) -> None:
    """Raises StoreError for a database that cannot be distributed in this way."""
    if not 1 <= shards <= BUCKETS:
        raise StoreError(f"--shards is {shards}, but must be from 1 to {BUCKETS}: there are {BUCKETS} buckets")
    async with _connected(connector) as connection:
        if not await connection.fetchval(HAS_CITUS):
            raise StoreError(
                f"{connector.address} has no extension citus; run CREATE EXTENSION citus on each node, add the nodes "
                "with citus_add_node, and try again"
            )


async def distribute(connector: "Connector", shards: int) -> str:
    """Distribute a database that has this program's schema. Returns a sentence about it. Raises StoreError.

    All is one transaction, so an interrupted call can be repeated. It waits for a call that is still under way.
    """
    first, *others = (f"{POSTGRES_SCHEMA}.{table}" for table in TABLES)
    async with _connected(connector) as connection:
        begin = f"BEGIN; {NOTICE_END_OF_CLIENT}; SELECT pg_advisory_xact_lock({LOCK})"
        await connection.execute(begin, timeout=SECONDS)
        if await is_distributed(connection):
            return "The database is distributed already; nothing was changed."
        await connection.execute(add_buckets(), timeout=SECONDS)
        await connection.execute(FIRST, first, shards, timeout=SECONDS)
        for table in others:
            await connection.execute(NEXT, table, first, timeout=SECONDS)
        for table in (first, *others):
            await connection.execute(FORGET, table, timeout=SECONDS)
        await _commit(connector, connection)
    return f"Distributed the tables over {shards} shards."


async def _commit(connector: "Connector", connection: AnyConnection) -> None:
    try:
        await connection.execute("COMMIT", timeout=SECONDS)
    except _ERRORS as error:
        raise StoreError(
            f"it is not known whether {connector.address} was distributed: {_problem(error)}; run the same command "
            "again, which changes nothing if it was"
        ) from error


@asynccontextmanager
async def _connected(connector: "Connector") -> AsyncIterator[AnyConnection]:
    """A connection. Its errors are raised as StoreError."""
    try:
        connection = await connector.connect()
        try:
            yield connection
        finally:
            connection.terminate()
    except _ERRORS as error:
        text = f"cannot distribute {connector.address}: {_problem(error)}; its tables stay as they were"
        raise StoreError(text) from error


def _problem(error: Exception) -> str:
    return str(error) or type(error).__name__


def add_buckets() -> str:
    """The SQL that adds the column, and puts it into all keys."""
    return text_of("distributed", "postgresql")
