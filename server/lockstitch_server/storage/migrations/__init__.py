"""The schema and how it changes, by Alembic.

Each change is a step in `versions/` with SQL for both kinds of database in `sql/`. Steps only ever add what older
servers can ignore: while replicas are being replaced, old servers work on a new schema.
"""

import logging
import sqlite3
from typing import Any

from lockstitch_server.storage.store import StoreError

VERSION_TABLE = "lockstitch_version"
POSTGRES_SCHEMA = "lockstitch"
APPLICATION_ID = 0x4C6B5374
""""LkSt": marks a SQLite file as Lockstitch's."""


def migrate_sqlite(connection: sqlite3.Connection, path: str) -> None:
    """Create or upgrade the schema of a SQLite database. Raises StoreError."""
    try:
        if not _is_current(connection):
            _upgrade_sqlite(connection)
    except sqlite3.Error as error:
        raise StoreError(f"cannot use the SQLite database {path}: {error}") from error


def head() -> str:
    """The version that this server's code is made for."""
    from alembic.script import ScriptDirectory

    version = ScriptDirectory.from_config(_config()).get_current_head()
    assert version is not None
    return version


def known() -> frozenset[str]:
    """All versions that this server's code has steps for."""
    from alembic.script import ScriptDirectory

    return frozenset(step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions())


def upgrade(connection: Any) -> None:
    """Bring the schema behind a SQLAlchemy connection to this server's version."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Any:
    # Alembic and SQLAlchemy take a third of a second to import, which only a migration should pay.
    from alembic.config import Config

    # It tells of every plugin that it loads; what is done is told by whoever asked for it.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", "lockstitch_server.storage:migrations")
    return config


def check_owner(connection: sqlite3.Connection, path: str) -> None:
    """Raises StoreError for a database that is not Lockstitch's. An empty one may become so."""
    # In this order: another process may be creating the schema now, and marks the file in the same transaction.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreError(f"{path} is a SQLite database, but no Lockstitch store; choose another file")


def check_sqlite(connection: sqlite3.Connection, path: str) -> None:
    """Raises StoreError for a schema that is missing or behind. A newer one can be read."""
    if (found := _version(connection)) is None:
        raise StoreError(f"{path} has no Lockstitch schema; run: lockstitch migrate --store sqlite:///{path}")
    if not _is_current(connection):
        raise StoreError(
            f"the schema of {path} is at version {found}, this program needs {head()}; "
            f"run: lockstitch migrate --store sqlite:///{path}"
        )


def _is_current(connection: sqlite3.Connection) -> bool:
    found = _version(connection)
    # A version that is not known comes from a newer server, with whose schema this one can work.
    return found is not None and (found == head() or found not in known())


def _version(connection: sqlite3.Connection) -> str | None:
    (exists,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone()
    if not exists:
        return None
    found = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    return found[0] if found is not None else None


def _upgrade_sqlite(connection: sqlite3.Connection) -> None:
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as wrapped:
        # Only now: SQLAlchemy rolls back whatever is open when it connects. Other processes wait here; Alembic then
        # sees what they have done, and commits or rolls back at its end.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        upgrade(wrapped)
