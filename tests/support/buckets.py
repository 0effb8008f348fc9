"""The schema of a distributed database on a Postgres of one node: all of it but Citus."""

import asyncpg

from lockstitch_server.storage.libpq.address import read_address
from lockstitch_server.storage.libpq.connector import Connector
from lockstitch_server.storage.migrations.distributing import add_buckets
from lockstitch_server.storage.migrations.postgres import migrate_postgres


async def with_buckets(url: str) -> str:
    """Give the tables of a database buckets, whether it has a schema already or not; its URL."""
    await migrate_postgres(Connector(read_address(url)))
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"BEGIN; {add_buckets()}; COMMIT")
    finally:
        await connection.close()
    return url
