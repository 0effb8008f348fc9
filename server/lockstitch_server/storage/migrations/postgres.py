"""The schema in Postgres: created and upgraded on command, checked at every start."""

import asyncpg

from lockstitch_server.core.redaction import redact
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.migrations import POSTGRES_SCHEMA, VERSION_TABLE, head, known, upgrade
from lockstitch_server.storage.store import StoreError

LOCK = 0x4C6B5374
"""Keeps replicas that migrate at once from getting in each other's way. Each step is safe to repeat without it."""


async def migrate_postgres(url: str) -> None:
    """Create or upgrade the schema. Does nothing to one that is newer than this server. Raises StoreError."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, timeout=5, statement_cache_size=0),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}"))
            found = await connection.run_sync(_current)
            if found is None or found in known():
                await connection.run_sync(upgrade)
    except SQLAlchemyError as error:
        raise StoreError(f"cannot migrate {redact(url)}: {error.__cause__ or error}") from error
    finally:
        await engine.dispose()


async def check_schema(connection: AnyConnection, url: str) -> None:
    """Raises StoreError for a schema that is missing or behind. One that is ahead will do."""
    table = f"{POSTGRES_SCHEMA}.{VERSION_TABLE}"
    found = None
    if await connection.fetchval("SELECT to_regclass($1)", table) is not None:
        found = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608 - a constant
    if found is None:
        raise StoreError(f"{url} has no Lockstitch schema; run: lockstitch migrate --store {url}")
    if found != head() and found in known():
        raise StoreError(
            f"the schema of {url} is at version {found}, this server needs {head()}; "
            f"run: lockstitch migrate --store {url}"
        )


def _current(connection: object) -> str | None:
    from alembic.migration import MigrationContext

    options = {"version_table": VERSION_TABLE, "version_table_schema": POSTGRES_SCHEMA}
    return MigrationContext.configure(connection, opts=options).get_current_revision()  # type: ignore[arg-type]
