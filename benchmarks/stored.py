"""How many bytes a store takes."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import asyncpg

from lockstitch_server.storage.migrations import POSTGRES_SCHEMA


async def stored_bytes(url: str, schema: str = POSTGRES_SCHEMA) -> int:
    """SQLite: the file after a WAL checkpoint. Postgres: the schema's tables, TOAST and indexes."""
    if url.startswith("sqlite:///"):
        return _sqlite_bytes(Path(url.removeprefix("sqlite:///")))
    return await _postgres_bytes(url, schema)


async def vacuum(url: str) -> None:
    """What autovacuum does in time. SQLite needs none: it reuses pages at once."""
    if url.startswith("sqlite:///"):
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM")
    finally:
        await connection.close()


def _sqlite_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        # Busy: the server copies just now.
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            time.sleep(0.01)
    return path.stat().st_size


async def _postgres_bytes(url: str, schema: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        size = await connection.fetchval(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'm')",
            schema,
        )
    finally:
        await connection.close()
    return int(size)
