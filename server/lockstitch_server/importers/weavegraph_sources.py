"""Reads weavegraph's tables from SQLite and Postgres. Nothing is ever written there."""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from lockstitch_server.core.redaction import redact
from lockstitch_server.importers.weavegraph import SessionRow, StepRow

if TYPE_CHECKING:
    import aiosqlite
    import asyncpg

CONNECT_SECONDS = 10.0
# Each row holds a whole state: few are read ahead.
ROWS_AHEAD = 8

# One SQL for both databases, but that `?1` is `$1` in Postgres.
#
# The snapshot in `sessions` is a copy of a step, unless somebody has deleted steps by hand, as the crate's manual
# suggests: then it may be all there is.
_NO_SUCH_STEP = """
    s.last_state_json IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM steps t WHERE t.session_id = s.id AND t.step = s.last_step)
"""
_SESSIONS = f"""
    SELECT s.id, s.concurrency_limit,
           (SELECT count(*) FROM steps t WHERE t.session_id = s.id) + CASE WHEN {_NO_SUCH_STEP} THEN 1 ELSE 0 END
    FROM sessions s ORDER BY s.id
"""  # noqa: S608 - made of constants
_STEPS = """
    SELECT step, created_at, state_json, frontier_json, versions_seen_json,
           ran_nodes_json, skipped_nodes_json, updated_channels_json
    FROM steps WHERE session_id = ?1 ORDER BY step
"""
_SNAPSHOT = f"""
    SELECT s.last_step, s.updated_at, s.last_state_json, s.last_frontier_json, s.last_versions_seen_json,
           '[]', '[]', '[]'
    FROM sessions s WHERE s.id = ?1 AND {_NO_SUCH_STEP}
"""  # noqa: S608 - made of constants


class SourceUnusable(Exception):
    """The database cannot be read, or weavegraph did not write it. The text is for people."""


class Database(Protocol):
    """Something that answers SQL."""

    def rows(self, sql: str, *arguments: str) -> AsyncGenerator[tuple[Any, ...], None]:
        """The rows of the answer, few of them in memory at a time."""


@dataclass(frozen=True)
class Wanted:
    """Which sessions are asked for."""

    prefix: str = ""
    ids: Collection[str] = ()

    def __call__(self, session_id: str) -> bool:
        return session_id.startswith(self.prefix) and (not self.ids or session_id in self.ids)


class Weavegraph:
    """A weavegraph database: a source of sessions."""

    def __init__(self, database: Database, wanted: Wanted) -> None:
        self._database = database
        self._wanted = wanted

    async def sessions(self) -> AsyncGenerator[SessionRow, None]:
        """The sessions that were asked for, by id."""
        async with aclosing(self._database.rows(_SESSIONS)) as rows:
            async for row in rows:
                if self._wanted(row[0]):
                    yield SessionRow(*row)

    async def steps(self, session: SessionRow) -> AsyncGenerator[StepRow, None]:
        """The steps of a session, lowest first; then the snapshot, if it is none of them."""
        for sql in (_STEPS, _SNAPSHOT):
            async with aclosing(self._database.rows(sql, session.id)) as rows:
                async for row in rows:
                    yield StepRow(*row)

    async def check(self) -> None:
        """Raises SourceUnusable if these are not weavegraph's tables."""
        for sql in (_SESSIONS, _STEPS, _SNAPSHOT):
            async with aclosing(self._database.rows(f"{sql} LIMIT 0", *[""] * sql.count("?1"))) as rows:
                async for _ in rows:
                    pass


@asynccontextmanager
async def open_source(url: str, wanted: Wanted, connections: int) -> AsyncIterator[Weavegraph]:
    """The weavegraph database at a file's path, a sqlite URL or a postgresql URL. Raises SourceUnusable."""
    opened = _open_postgres(url, connections) if url.startswith(("postgres://", "postgresql://")) else _open_sqlite(url)
    async with opened as database:
        source = Weavegraph(database, wanted)
        await source.check()
        yield source


class _Sqlite:
    def __init__(self, connection: "aiosqlite.Connection", path: Path) -> None:
        self._connection = connection
        self._path = path

    async def rows(self, sql: str, *arguments: str) -> AsyncGenerator[tuple[Any, ...], None]:
        with _sqlite_errors(self._path):
            async with self._connection.execute(sql, arguments) as cursor:
                async for row in cursor:
                    yield tuple(row)


@asynccontextmanager
async def _open_sqlite(url: str) -> AsyncIterator[Database]:
    import aiosqlite

    path = sqlite_path(url)
    if not path.is_file():
        raise SourceUnusable(f"there is no file {path}")
    uri = f"file:{quote(str(path))}?{_mode(path)}"
    connection = aiosqlite.connect(uri, uri=True, iter_chunk_size=ROWS_AHEAD)
    with _sqlite_errors(path):
        try:
            await connection
        except sqlite3.Error:
            connection._thread.join()  # else it may outlive the event loop, and die noisily
            raise
    try:
        yield _Sqlite(connection, path)
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
    beside = path.with_name(f"{path.name}-wal")
    return "mode=ro" if beside.exists() or _writable(path.parent) else "mode=ro&immutable=1"


def _writable(directory: Path) -> bool:
    import os

    return os.access(directory, os.W_OK)


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if text.startswith("no such"):
            text = f"it is no weavegraph database ({text})"
        raise SourceUnusable(f"{path} cannot be read: {text}") from None


class _Postgres:
    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", url: str) -> None:
        self._pool = pool
        self._url = url

    async def rows(self, sql: str, *arguments: str) -> AsyncGenerator[tuple[Any, ...], None]:
        with _postgres_errors(self._url):
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                async for row in connection.cursor(sql.replace("?1", "$1"), *arguments, prefetch=ROWS_AHEAD):
                    yield tuple(row)


@asynccontextmanager
async def _open_postgres(url: str, connections: int) -> AsyncIterator[Database]:
    import asyncpg

    with _postgres_errors(url):
        # No prepared statements: PgBouncer may be in between.
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=connections, timeout=CONNECT_SECONDS, statement_cache_size=0
        )
    async with pool:
        yield _Postgres(pool, url)


@contextmanager
def _postgres_errors(url: str) -> Iterator[None]:
    import asyncpg

    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise SourceUnusable(f"{redact(url)} is no weavegraph database ({error})") from None
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SourceUnusable(f"{redact(url)} cannot be read: {redact(str(error)) or type(error).__name__}") from None
