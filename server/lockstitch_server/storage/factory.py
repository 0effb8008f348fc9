"""From a URL to a store."""

import asyncio
import importlib.util

from lockstitch_server.storage.sqlite.store import MEMORY, SqliteStore, path_of
from lockstitch_server.storage.store import Store, StoreError

POSTGRES_SCHEMES = ("postgresql://", "postgres://")


def create_store(
    url: str,
    *,
    pool_size: int = 8,
    migrate: bool = False,
    for_saves: bool = False,
    files: str = "",
    read_only: bool = False,
) -> Store:
    """The store that a URL names, not opened yet. Raises StoreError for a URL that names none.

    `migrate`: whether opening may create or upgrade a Postgres schema; SQLite and memory always do.
    `for_saves`: it does nothing else, beside one that has been opened before: the schema is known to be right, and is
    not looked at.
    `files`: what `Store.files` of that one says; opening fails where the files are others now.
    `read_only`: opening creates and upgrades nothing, and fails where there is no store; `read`, `ask` and `look` work.
    """
    if url == "memory://":
        if read_only:
            raise StoreError("memory:// is empty outside of its server; name a SQLite file or a Postgres database")
        return SqliteStore(MEMORY)
    if url.startswith("sqlite:"):
        return SqliteStore(path_of(url), for_saves=for_saves, files=files, read_only=read_only)
    if url.startswith(POSTGRES_SCHEMES):
        if importlib.util.find_spec("asyncpg") is None:
            raise StoreError("Postgres needs asyncpg; install lockstitch[server,postgres]")
        from lockstitch_server.storage.postgres import PostgresStore

        return PostgresStore(url, pool_size=pool_size, migrate=migrate, for_saves=for_saves)
    scheme = url.partition(":")[0] if ":" in url else url
    raise StoreError(
        f"unknown kind of store {scheme!r}; use memory://, sqlite:///path or postgresql://user@host/database"
    )


def migrate(url: str) -> str:
    """Create or upgrade the schema of a store. Returns a sentence about it. Raises StoreError."""
    return asyncio.run(_migrate(create_store(url, pool_size=1, migrate=True)))


async def _migrate(store: Store) -> str:
    from lockstitch_server.storage.migrations import head

    await store.open()
    await store.close()
    return f"The schema is at version {head()}."
