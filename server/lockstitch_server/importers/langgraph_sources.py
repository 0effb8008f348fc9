"""Reads the tables of LangGraph's savers from SQLite and Postgres. Nothing is ever written there."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

from lockstitch_server.importers.databases import Database, Wanted, open_database
from lockstitch_server.importers.langgraph import TASKS, Blob, CheckpointRow, ThreadRow, WriteRow
from lockstitch_server.storage.libpq.address import is_postgres

CONNECTIONS_PER_JOB = 2
"""One that goes through a thread's checkpoints, and one for what belongs to each."""

# By id within a namespace: so each grows out of what has been saved before it.
_THREADS = "SELECT thread_id, count(*) FROM checkpoints GROUP BY thread_id ORDER BY thread_id"
_SQLITE_CHECKPOINTS = """
    SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
    FROM checkpoints WHERE thread_id = ?1 ORDER BY checkpoint_ns, checkpoint_id
"""
_SQLITE_WRITES = """
    SELECT task_id, task_path, idx, channel, type, value
    FROM writes WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3
"""
_POSTGRES_CHECKPOINTS = """
    SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint::text, metadata::text,
           coalesce((checkpoint ->> 'v')::numeric < 4, false)
    FROM checkpoints WHERE thread_id = ?1 ORDER BY checkpoint_ns COLLATE "C", checkpoint_id COLLATE "C"
"""
_POSTGRES_WRITES = """
    SELECT task_id, task_path, idx, channel, type, blob
    FROM checkpoint_writes WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3
"""
_POSTGRES_BLOBS = """
    SELECT b.channel, b.type, b.blob
    FROM checkpoints c
    CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v
    JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
        AND b.channel = v.key AND b.version = v.value
    WHERE c.thread_id = ?1 AND c.checkpoint_ns = ?2 AND c.checkpoint_id = ?3
"""


class Tables(Protocol):
    """How one of the savers lays its rows out."""

    @property
    def statements(self) -> Sequence[tuple[str, int]]:
        """All that is asked, and with how many arguments."""

    def steps(self, database: Database, thread_id: str) -> AsyncGenerator[CheckpointRow, None]:
        """The checkpoints of a thread."""


class SqliteTables:
    """Those of SqliteSaver and AsyncSqliteSaver: a checkpoint is one blob."""

    statements = ((_THREADS, 0), (_SQLITE_CHECKPOINTS, 1), (_SQLITE_WRITES, 3))

    async def steps(self, database: Database, thread_id: str) -> AsyncGenerator[CheckpointRow, None]:
        async with aclosing(database.rows(_SQLITE_CHECKPOINTS, thread_id)) as rows:
            async for namespace, checkpoint_id, parent_id, kind, content, metadata in rows:
                writes = await _writes(database, _SQLITE_WRITES, thread_id, namespace, checkpoint_id)
                yield CheckpointRow(
                    thread_id, namespace, checkpoint_id, parent_id, (kind or "", content), metadata, (), writes
                )


class PostgresTables:
    """Those of PostgresSaver and AsyncPostgresSaver: channels are blobs of their own, by version."""

    statements = ((_THREADS, 0), (_POSTGRES_CHECKPOINTS, 1), (_POSTGRES_WRITES, 3), (_POSTGRES_BLOBS, 3))

    async def steps(self, database: Database, thread_id: str) -> AsyncGenerator[CheckpointRow, None]:
        async with aclosing(database.rows(_POSTGRES_CHECKPOINTS, thread_id)) as rows:
            async for namespace, checkpoint_id, parent_id, content, metadata, is_old in rows:
                place = (thread_id, namespace, checkpoint_id)
                blobs = [
                    (channel, (kind, data or b""))
                    for channel, kind, data in await _all(database, _POSTGRES_BLOBS, *place)
                ]
                writes = await _writes(database, _POSTGRES_WRITES, *place)
                sends = await self._sends(database, thread_id, namespace, parent_id) if is_old and parent_id else ()
                yield CheckpointRow(*place, parent_id, content, metadata, blobs, writes, sends)

    async def _sends(self, database: Database, thread_id: str, namespace: str, parent_id: str) -> list[Blob]:
        """Until version 4 a checkpoint found what was sent to its tasks among its parent's writes."""
        writes = await _writes(database, _POSTGRES_WRITES, thread_id, namespace, parent_id)
        sent = [write for write in writes if write.channel == TASKS]
        sent.sort(key=lambda write: (write.task_path, write.task_id, write.index))
        return [(write.type or "", write.data or b"") for write in sent]


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

    def steps(self, session: ThreadRow) -> AsyncGenerator[CheckpointRow, None]:
        """The checkpoints of a thread, by namespace and id."""
        return self._tables.steps(self._database, session.id)

    async def check(self) -> None:
        """Raises SourceUnusable if these are not LangGraph's tables."""
        for sql, arguments in self._tables.statements:
            await _all(self._database, f"{sql} LIMIT 0", *[""] * arguments)


@asynccontextmanager
async def open_source(url: str, wanted: Wanted, connections: int) -> AsyncIterator[Langgraph]:
    """The database of LangGraph's at a file's path, a sqlite URL or a postgresql URL. Raises SourceUnusable."""
    async with open_database(url, connections, "LangGraph") as database:
        source = Langgraph(database, PostgresTables() if is_postgres(url) else SqliteTables(), wanted)
        await source.check()
        yield source


async def _writes(database: Database, sql: str, *place: str) -> list[WriteRow]:
    return [WriteRow(*row) for row in await _all(database, sql, *place)]


async def _all(database: Database, sql: str, *arguments: str) -> list[tuple[Any, ...]]:
    async with aclosing(database.rows(sql, *arguments)) as rows:
        return [row async for row in rows]
