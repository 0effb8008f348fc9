"""From a URL to a store."""

import asyncio
import importlib.util
from collections.abc import Sequence

from lockstitch_server.storage.libpq.address import AddressInvalid, is_postgres, read_address
from lockstitch_server.storage.sqlite.store import MEMORY, SqliteStore, path_of
from lockstitch_server.storage.store import Store, StoreError


def create_store(
    url: str,
    *,
    pool_size: int = 8,
    migrate: bool = False,
    read_only: bool = False,
    statement_cache: bool = True,
    failover_seconds: float = 10.0,
    write_connections: int = 8,
) -> Store:
    """The store that a URL names, not opened yet. Raises StoreError for a URL that names none.

    `migrate`: whether opening may create or upgrade a Postgres schema; SQLite and memory always do.
    `read_only`: opening creates and upgrades nothing, and fails where there is no store; `read`, `ask` and `look` work.
    `statement_cache`: whether connections to Postgres may keep prepared statements; a pooler may forbid it.
    `failover_seconds`: how long calls wait for a Postgres that has gone away.
    `write_connections`: how many transactions may write a distributed database at once.
    """
    if url == "memory://":
        if read_only:
            raise StoreError("memory:// is empty outside of its server; name a SQLite file or a Postgres database")
        return SqliteStore(MEMORY)
    if url.startswith("sqlite:"):
        return SqliteStore(path_of(url), read_only=read_only)
    if is_postgres(url):
        if importlib.util.find_spec("asyncpg") is None:
            raise StoreError("Postgres needs asyncpg; install lockstitch[server,postgres]")
        from lockstitch_server.storage.postgres import PostgresStore

        return PostgresStore(
            url,
            pool_size=pool_size,
            migrate=migrate,
            read_only=read_only,
            statement_cache=statement_cache,
            failover_seconds=failover_seconds,
            write_connections=write_connections,
        )
    scheme = url.partition(":")[0] if ":" in url else url
    raise StoreError(
        f"unknown kind of store {scheme!r}; use memory://, sqlite:///path or postgresql://user@host/database"
    )


def warnings_about(url: str) -> Sequence[str]:
    """What a URL asks for and does not get, a sentence each. Raises StoreError for one that cannot be used."""
    try:
        return read_address(url).warnings if is_postgres(url) else ()
    except AddressInvalid as error:
        raise StoreError(str(error)) from None


def migrate(url: str) -> str:
    """Create or upgrade the schema of a store. Returns a sentence about what was done. Raises StoreError."""
    return asyncio.run(_migrate(create_store(url, pool_size=1, migrate=True)))


async def _migrate(store: Store) -> str:
    found = await store.open()
    await store.close()
    return _migrated(found)


def _migrated(found: str | None) -> str:
    """A sentence about a migration. found: the version that the database had; None: none."""
    from lockstitch_server.storage.migrations import head, known

    if found is None:
        return f"Created the schema, at version {head()}."
    if found == head():
        return f"The schema is at version {found} already; nothing was changed."
    if found not in known():
        return f"The schema is at version {found}, which is newer than this program; nothing was changed."
    return f"Upgraded the schema from version {found} to {head()}."


def distribute(url: str, shards: int | None = None) -> str:
    """Create or upgrade the schema of a Postgres store, and distribute its tables with the extension Citus.

    Returns sentences about what was done. Raises StoreError; nothing was changed if it cannot be distributed.
    """
    if not is_postgres(url):
        raise StoreError("only Postgres databases can be distributed; SQLite files and memory cannot")
    return asyncio.run(_distribute(url, shards))


async def _distribute(url: str, shards: int | None) -> str:
    from lockstitch_server.storage.libpq.connector import Connector
    from lockstitch_server.storage.migrations import distributing
    from lockstitch_server.storage.migrations.postgres import migrate_postgres

    connector = Connector(read_address(url))
    count = distributing.SHARDS if shards is None else shards
    await distributing.check(connector, count)
    # Without opening the store, which would wait for tables that an interrupted call may still have locked.
    migrated = _migrated(await migrate_postgres(connector))
    return f"{migrated}\n{await distributing.distribute(connector, count)}"


def migration_script(url: str) -> str:
    """The SQL that creates or upgrades the schema of a Postgres store. Raises StoreError for another kind of store."""
    if not is_postgres(url):
        raise StoreError("only Postgres schemas are migrated by SQL; SQLite files are migrated when they are opened")
    from lockstitch_server.storage.migrations.postgres import script

    return script()
