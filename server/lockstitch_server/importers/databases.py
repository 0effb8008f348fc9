"""Databases of others, from which an import reads. Nothing is ever written there."""

import importlib.util
import os
import re
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from lockstitch_server.storage.libpq.address import AddressInvalid, is_postgres, read_address

if TYPE_CHECKING:
    import aiosqlite
    import asyncpg

# Each row holds a whole state: few are read ahead.
ROWS_AHEAD = 8


_PLACE = re.compile(r"\?(\d)")


class SourceUnusable(Exception):
    """The database cannot be read, or weavegraph did not write it. The text is for people."""


@dataclass(frozen=True)
class Dialect:
    """SQL for the names of a table's columns, and of all tables."""

    columns: str
    tables: str


SQLITE = Dialect(
    "SELECT name FROM pragma_table_info(?1)",
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
)
POSTGRES = Dialect(
    "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(?1) AND attnum > 0 AND NOT attisdropped",
    "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid) "
    "AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) ORDER BY relname",
)


class Database(Protocol):
    """Something that answers SQL, in which `?1` is the first argument."""

    def rows(self, sql: str, *arguments: str) -> AsyncGenerator[tuple[Any, ...], None]:
        """The rows of the answer, few of them in memory at a time."""

    @property
    def dialect(self) -> Dialect:
        """How it tells of its tables."""


async def columns_of(database: Database, table: str) -> list[str]:
    """The names of a table's columns; none where there is no such table."""
    return [row[0] async for row in database.rows(database.dialect.columns, table)]


async def tables_of(database: Database) -> list[str]:
    """The names of all tables that are not the database's own."""
    return [row[0] async for row in database.rows(database.dialect.tables)]


@dataclass(frozen=True)
class Wanted:
    """Which sessions are asked for."""

    prefix: str = ""
    ids: Collection[str] = ()

    def __call__(self, session_id: str) -> bool:
        return session_id.startswith(self.prefix) and (not self.ids or session_id in self.ids)


def shown(url: str) -> str:
    """A source for people, without what is secret in it. Raises AddressInvalid."""
    return str(read_address(url)) if is_postgres(url) else str(sqlite_path(url))


def open_database(url: str, connections: int, writer: str) -> AbstractAsyncContextManager[Database]:
    """The database at a file's path, a sqlite URL or a postgresql URL.

    writer: who should have written it, for people.

    Entering raises SourceUnusable, and so does reading.
    """
    if not is_postgres(url):
        return _open_sqlite(url, writer)
    if importlib.util.find_spec("asyncpg") is None:
        raise SourceUnusable("Postgres needs asyncpg; install lockstitch[server,postgres]")
    return _open_postgres(url, connections, writer)


class _Sqlite:
    dialect = SQLITE

    def __init__(self, connection: "aiosqlite.Connection", path: Path, writer: str) -> None:
        self._connection = connection
        self._path = path
        self._writer = writer

    async def rows(self, sql: str, *arguments: str) -> AsyncGenerator[tuple[Any, ...], None]:
        with _sqlite_errors(self._path, self._writer):
            async with self._connection.execute(sql, arguments) as cursor:
                async for row in cursor:
                    yield tuple(row)


@asynccontextmanager
async def _open_sqlite(url: str, writer: str) -> AsyncIterator[Database]:
    import aiosqlite

    path = sqlite_path(url)
    path = path.absolute()
    if not path.is_file():
        raise SourceUnusable(f"there is no file {path}")
    uri = f"file:{quote(str(path))}?{_mode(path)}"
    connection = aiosqlite.connect(uri, uri=True, iter_chunk_size=ROWS_AHEAD)
    with _sqlite_errors(path, writer):
        try:
            await connection
        except sqlite3.Error:
            connection._thread.join()  # else it may outlive the event loop, and die noisily
            raise
    try:
        yield _Sqlite(connection, path, writer)
    finally:
        await connection.close()


def sqlite_path(url: str) -> Path:
    """The file that is meant: a plain path, or a URL in our spelling or in sqlx's, where three slashes are absolute."""
    if not url.startswith("sqlite:"):
        return Path(url)
    rest = url.removeprefix("sqlite:").partition("?")[0]
    if rest.startswith("////"):
        return Path("/", rest.lstrip("/"))
    ours = Path(rest.removeprefix("///"))
    return ours if ours.is_file() else Path(rest.removeprefix("//"))


def _mode(path: Path) -> str:
    """Read-only. A database in WAL mode then wants to make a file beside it; where it cannot, nobody writes either."""
    real = path.resolve()  # a symbolic link has its log beside the file that it names
    beside = real.with_name(f"{real.name}-wal")
    return "mode=ro" if beside.exists() or _writable(real.parent) else "mode=ro&immutable=1"


def _writable(directory: Path) -> bool:
    return os.access(directory, os.W_OK)


@contextmanager
def _sqlite_errors(path: Path, writer: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if text.startswith("no such"):
            text = f"it is no {writer} database ({text})"
        raise SourceUnusable(f"{path} cannot be read: {text}") from None


class _Postgres:
    dialect = POSTGRES

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", name: str, writer: str) -> None:
        self._pool = pool
        self._name = name
        self._writer = writer

    async def rows(self, sql: str, *arguments: str) -> AsyncGenerator[tuple[Any, ...], None]:
        query = _PLACE.sub(r"$\1", sql)
        # A cursor of SQL's own: those of asyncpg are prepared statements, which a pooler may mix up.
        with _postgres_errors(self._name, self._writer):
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute(f"DECLARE answer NO SCROLL CURSOR FOR {query}", *arguments)
                while found := await connection.fetch(f"FETCH {ROWS_AHEAD} FROM answer"):
                    for row in found:
                        yield tuple(row)


@asynccontextmanager
async def _open_postgres(url: str, connections: int, writer: str) -> AsyncIterator[Database]:
    import asyncpg

    from lockstitch_server.storage.libpq.connector import Connector

    try:
        address = read_address(url)
    except AddressInvalid as error:
        raise SourceUnusable(str(error)) from None
    connector = Connector(address, statement_cache=False, writes=False)
    with _postgres_errors(str(address), writer):
        connect: Any = connector.connect_for_pool
        pool = await asyncpg.create_pool(connect=connect, min_size=1, max_size=connections, reset=_leave_as_it_is)
    async with pool:
        yield _Postgres(pool, str(address), writer)


async def _leave_as_it_is(_: object) -> None:
    """In place of asyncpg's own: nothing here changes a connection's state, and a pooler's is not ours to reset."""


@contextmanager
def _postgres_errors(name: str, writer: str) -> Iterator[None]:
    import asyncpg

    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise SourceUnusable(f"{name} is no {writer} database ({error})") from None
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SourceUnusable(f"{name} cannot be read: {str(error) or type(error).__name__}") from None
