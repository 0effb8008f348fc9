"""Reads the tables of LangGraph's savers from SQLite and Postgres. Nothing is ever written there."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

from lockstitch_server.importers.databases import Database, SourceUnusable, Wanted, open_database, shown
from lockstitch_server.importers.langgraph import CheckpointRow, Thread, ThreadRow, WriteRow
from lockstitch_server.importers.langgraph_layouts import (
    LayoutUnknown,
    PostgresStatements,
    SqliteStatements,
    postgres_statements,
    read_layout,
    sqlite_statements,
)
from lockstitch_server.storage.libpq.address import is_postgres

CONNECTIONS_PER_JOB = 2
"""One that goes through a thread's checkpoints, and one for what belongs to each."""

_THREADS = "SELECT thread_id, count(*) FROM checkpoints GROUP BY thread_id ORDER BY thread_id"


class Tables(Protocol):
    """How one of the savers lays its rows out."""

    def steps(self, database: Database, thread_id: str) -> AsyncGenerator[CheckpointRow, None]:
        """The checkpoints of a thread, by id within a namespace: each grows out of what has been saved before it."""


class SqliteTables:
    """Those of SqliteSaver and AsyncSqliteSaver: a checkpoint is one blob."""

    def __init__(self, statements: SqliteStatements) -> None:
        self._sql = statements

    async def steps(self, database: Database, thread_id: str) -> AsyncGenerator[CheckpointRow, None]:
        async with aclosing(database.rows(self._sql.checkpoints, thread_id)) as rows:
            async for namespace, checkpoint_id, parent_id, kind, content, metadata in rows:
                writes = await _writes(database, self._sql.writes, thread_id, namespace, checkpoint_id)
                yield CheckpointRow(
                    thread_id, namespace, checkpoint_id, parent_id, (kind or "", content), metadata, (), writes
                )


class PostgresTables:
    """Those of PostgresSaver, the shallow one and the asynchronous ones: channels are blobs of their own."""

    def __init__(self, statements: PostgresStatements) -> None:
        self._sql = statements

    async def steps(self, database: Database, thread_id: str) -> AsyncGenerator[CheckpointRow, None]:
        async with aclosing(database.rows(self._sql.checkpoints, thread_id)) as rows:
            async for namespace, checkpoint_id, parent_id, content, metadata, is_old in rows:
                place = (thread_id, namespace, checkpoint_id)
                blobs = [
                    (channel, (kind, data or b""))
                    for channel, kind, data in await _all(database, self._sql.blobs, *place)
                ]
                writes = await _writes(database, self._sql.writes, *place)
                # Until version 4 a checkpoint found what was sent to its tasks among its parent's writes.
                sends = await _all(database, self._sql.sends, *place) if is_old else []
                sent = [(kind or "", data or b"") for kind, data in sends]
                yield CheckpointRow(*place, parent_id, content, metadata, blobs, writes, sent)


class Langgraph:
    """A database of LangGraph's: a source of threads."""

    def __init__(self, database: Database, tables: Tables, wanted: Wanted) -> None:
        self._database = database
        self._tables = tables
        self._wanted = wanted

    async def sessions(self) -> AsyncGenerator[ThreadRow, None]:
        """The threads that were asked for, by id."""
        async with aclosing(self._database.rows(_THREADS)) as rows:
            async for row in rows:
                if self._wanted(row[0]):
                    yield ThreadRow(*row)

    async def steps(self, session: ThreadRow) -> AsyncGenerator[CheckpointRow, None]:
        """The checkpoints of a thread, by namespace and id."""
        thread = Thread()
        async with aclosing(self._tables.steps(self._database, session.id)) as rows:
            async for row in rows:
                yield thread.followed(row)


@asynccontextmanager
async def open_source(url: str, wanted: Wanted, connections: int) -> AsyncIterator[Langgraph]:
    """The database of LangGraph's at a file's path, a sqlite URL or a postgresql URL. Raises SourceUnusable."""
    async with open_database(url, connections, "LangGraph") as database:
        layout = await read_layout(database)
        tables: Tables
        try:
            if is_postgres(url):
                tables = PostgresTables(postgres_statements(layout))
            else:
                tables = SqliteTables(sqlite_statements(layout))
        except LayoutUnknown as error:
            raise SourceUnusable(f"{shown(url)} is no LangGraph database: {error}") from None
        yield Langgraph(database, tables, wanted)


async def _writes(database: Database, sql: str, *place: str) -> list[WriteRow]:
    return [WriteRow(*row) for row in await _all(database, sql, *place)]


async def _all(database: Database, sql: str, *arguments: str) -> list[tuple[Any, ...]]:
    async with aclosing(database.rows(sql, *arguments)) as rows:
        return [row async for row in rows]
