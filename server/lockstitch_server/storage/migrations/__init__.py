"""The schema and how it changes, by Alembic.

Each change is a step in `versions/` with SQL for both kinds of database in `sql/`. Steps only ever add what older
servers can ignore: while replicas are being replaced, old servers work on a new schema.
"""

import functools
import logging
import sqlite3
from typing import Any

from lockstitch_server.storage.migrations.columns import Column, complaint, differences, expected
from lockstitch_server.storage.store import StoreError

VERSION_TABLE = "lockstitch_version"
POSTGRES_SCHEMA = "lockstitch"
APPLICATION_ID = 0x4C6B5374
""""LkSt": marks a SQLite file as Lockstitch's."""


def migrate_sqlite(connection: sqlite3.Connection, path: str) -> str | None:
    """Create or upgrade the schema of a SQLite database. Raises StoreError.

    Gives the version that was found; None: there was no schema.
    """
    try:
        found = _version(connection)
        if found is not None:
            _check_columns(connection, path, found)
        if found is None or _is_behind(found):
            _upgrade_sqlite(connection)
            _check_columns(connection, path, head())
        return found
    except sqlite3.Error as error:
        raise StoreError(f"cannot use the SQLite database {path}: {error}") from error


@functools.cache
def revisions() -> tuple[str, ...]:
    """All versions that this server's code has steps for, the first one first."""
    from alembic.script import ScriptDirectory

    steps = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(reversed([step.revision for step in steps]))


def head() -> str:
    """The version that this server's code is made for."""
    return revisions()[-1]


def known() -> frozenset[str]:
    """All versions that this server's code has steps for."""
    return frozenset(revisions())


def up_to(version: str) -> tuple[str, ...]:
    """The versions up to one; all of them for one that is not known, which comes from a newer server."""
    return revisions()[: revisions().index(version) + 1] if version in known() else revisions()


def upgrade(connection: Any, version: str = "head") -> None:
    """Bring the SQLite schema behind a SQLAlchemy connection to a version, by default this server's."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def _config() -> Any:
    # Alembic and SQLAlchemy take a third of a second to import, which only a migration should pay.
    from alembic.config import Config

    # It logs every plugin that it loads. The caller reports what is done.
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
    """Raises StoreError for a schema that is missing, behind, or another. A newer one can be read."""
    if (found := _version(connection)) is None:
        raise StoreError(f"{path} has no Lockstitch schema; run: lockstitch migrate --store sqlite:///{path}")
    if _is_behind(found):
        raise StoreError(
            f"the schema of {path} is at version {found}, this program needs {head()}; "
            f"run: lockstitch migrate --store sqlite:///{path}"
        )
    _check_columns(connection, path, found)


def _is_behind(version: str) -> bool:
    """Whether it is older. One that is not known comes from a newer server, with whose schema this one can work."""
    return version in known() and version != head()


def _version(connection: sqlite3.Connection) -> str | None:
    """None: there is no schema yet."""
    (exists,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone()
    if not exists:
        return None
    found = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    return None if found is None else str(found[0])


def _check_columns(connection: sqlite3.Connection, path: str, version: str) -> None:
    """Raises StoreError for a schema that bears a version and is another."""
    wanted = expected("sqlite", up_to(version))
    found: dict[str, dict[str, Column]] = {}
    rows = connection.execute(
        'SELECT m.name, c.name, c.type, c."notnull" AND c.dflt_value IS NULL AND NOT c.pk '
        "FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    )
    for table, name, kind, must in rows:
        found.setdefault(table, {})[name] = Column(kind, bool(must))
    if told := differences(wanted, found):
        raise StoreError(complaint(path, version, told))


def _upgrade_sqlite(connection: sqlite3.Connection) -> None:
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as wrapped:
        # Only now: SQLAlchemy rolls back whatever is open when it connects. Other processes wait here; Alembic then
        # sees what they have done, and commits or rolls back at its end.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        upgrade(wrapped)
