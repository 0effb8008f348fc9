"""The schema in Postgres: created and upgraded on command, checked at every start."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg

from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.migrations import POSTGRES_SCHEMA, VERSION_TABLE, head, known, revisions, up_to
from lockstitch_server.storage.migrations.columns import Column, complaint, differences, expected
from lockstitch_server.storage.migrations.distributing import LOCK, has_buckets, with_buckets
from lockstitch_server.storage.migrations.steps import text_of
from lockstitch_server.storage.store import StoreError

if TYPE_CHECKING:
    from lockstitch_server.storage.libpq.connector import Connector

_DRIVER = (asyncpg.InterfaceError, asyncpg.InternalClientError)
VERSION = f"{POSTGRES_SCHEMA}.{VERSION_TABLE}"
SECONDS = 3600.0
"""How long a migration may take: others may hold the tables."""

CREATE_SCHEMA = f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA};"
RECORD_VERSION = f"""\
INSERT INTO {VERSION} SELECT '{{head}}' WHERE NOT EXISTS (SELECT FROM {VERSION});
UPDATE {VERSION} SET version_num = '{{head}}' WHERE version_num = ANY (ARRAY[{{known_before}}]::varchar[]);
COMMIT;
"""  # noqa: S608 - made of constants
CREATE_VERSION = f"CREATE TABLE IF NOT EXISTS {VERSION} (version_num VARCHAR(32) NOT NULL);"


def script(since: str | None = None) -> str:
    """The SQL that brings a database from a version to this server's, in one transaction. Can be repeated.

    since: the version that the database has; None: whichever, or none.
    """
    steps = revisions()
    todo = steps[steps.index(since) + 1 :] if since else steps
    known_before = ", ".join(f"'{revision}'" for revision in steps[:-1])
    return "\n\n".join(
        [
            f"BEGIN;\nSELECT pg_advisory_xact_lock({LOCK});",
            *([] if since else [CREATE_SCHEMA, CREATE_VERSION]),
            *(text_of(revision, "postgresql").strip() for revision in todo),
            RECORD_VERSION.format(head=steps[-1], known_before=known_before),
        ]
    )


async def migrate_postgres(connector: "Connector") -> str | None:
    """Create or upgrade the schema. Does nothing to one that is newer than this server. Raises StoreError.

    Gives the version that was found; None: there was no schema.
    """
    try:
        connection = await connector.connect()
    except (OSError, ValueError, asyncpg.PostgresError, *_DRIVER) as error:
        raise StoreError(f"cannot migrate {connector.address}: {str(error) or type(error).__name__}") from error
    try:
        return await _migrate(str(connector.address), connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreError(
            f"cannot migrate {connector.address}: {error}; let a role that may do so run the SQL that "
            "`lockstitch migrate --sql` prints, or grant this one what docs/storage.md lists"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise StoreError(f"cannot migrate {connector.address}: {str(error) or type(error).__name__}") from error
    finally:
        connection.terminate()


async def _migrate(name: str, connection: AnyConnection) -> str | None:
    await connection.execute("BEGIN")
    await check_encoding(name, connection)
    has_schema = await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", POSTGRES_SCHEMA)
    found = await _version(connection) if has_schema else None
    if found is not None:
        await _check_columns(name, connection, found)
    await connection.execute("COMMIT")
    if found is None or (found in known() and found != head()):
        sql = script(found)
        # A role without the right to create schemas may not even say IF NOT EXISTS.
        await connection.execute(sql.replace(CREATE_SCHEMA, "") if has_schema else sql, timeout=SECONDS)
    return found


async def _version(connection: AnyConnection) -> str | None:
    """None: there is none."""
    if await connection.fetchval("SELECT to_regclass($1)", VERSION) is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION}")  # noqa: S608 - a constant
    return found


async def check_version(name: str, connection: AnyConnection) -> str:
    """The version of the schema. Raises StoreError where it is missing or behind; one that is ahead will do."""
    found = await _version(connection)
    if found is None:
        raise StoreError(f"{name} has no Lockstitch schema; run `lockstitch migrate` with this store")
    if found != head() and found in known():
        raise StoreError(
            f"the schema of {name} is at version {found}, this server needs {head()}; "
            "run `lockstitch migrate` with this store"
        )
    return found


COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull AND NOT a.atthasdef
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'c') AND a.attnum > 0 AND NOT a.attisdropped
"""
READING = ("SELECT",)
SERVING = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""The rights to every table that a command needs which only reads, and that a server needs."""
MISSING = """
SELECT w.name, p.privilege
FROM unnest($1::text[]) AS w(name) CROSS JOIN unnest($2::text[]) AS p(privilege)
WHERE NOT has_table_privilege(w.name, p.privilege)
"""


async def check_schema(name: str, rights: Sequence[str], connection: AnyConnection) -> bool:
    """Whether the database is distributed.

    Raises StoreError for a database with which this server cannot work, or to which the role lacks some rights.
    """
    await check_encoding(name, connection)
    is_distributed = await _check_columns(name, connection, await check_version(name, connection))
    if missing := await missing_rights(rights, connection):
        raise StoreError(f"the role of {name} lacks rights: {missing}; docs/storage.md lists the GRANTs it needs")
    return is_distributed


async def check_encoding(name: str, connection: AnyConnection) -> None:
    """Raises StoreError for a database that cannot hold every text."""
    encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise StoreError(
            f"the encoding of {name} is {encoding}, but Lockstitch needs UTF8; "
            "create a database with: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


async def missing_rights(rights: Sequence[str], connection: AnyConnection) -> str:
    """Which of these privileges on tables the role lacks; empty: none."""
    missing = await connection.fetch(MISSING, _tables(), rights)
    return ", ".join(f"{privilege} on {table}" for table, privilege in missing)


@functools.cache
def _tables() -> tuple[str, ...]:
    return tuple(f"{POSTGRES_SCHEMA}.{table}" for table in expected("postgresql", revisions(), "TABLE"))


async def _check_columns(name: str, connection: AnyConnection, version: str) -> bool:
    """Whether tables have buckets. Raises StoreError for a schema that bears a version and is another."""
    found: dict[str, dict[str, Column]] = {}
    for table, column, kind, must in await connection.fetch(COLUMNS, POSTGRES_SCHEMA):
        found.setdefault(table, {})[column] = Column(kind, must)
    wanted = expected("postgresql", up_to(version))
    is_distributed = has_buckets(found)
    if told := differences(with_buckets(wanted) if is_distributed else wanted, found):
        raise StoreError(complaint(name, version, told))
    return is_distributed
