"""Reads from SQLite.

The methods are async to fit `Catalog`, and never suspend: they run in the connection's thread.
"""

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lockstitch_server.core.format.parts import Segment, Tail
from lockstitch_server.core.format.pending_writes import HEAD_BYTES, sizes_of
from lockstitch_server.core.format.reading import (
    CheckpointQuery,
    Found,
    ListedCheckpoint,
    LogName,
    NamespaceName,
    SessionName,
    SessionQuery,
    Totals,
)
from lockstitch_server.core.format.rows import (
    CheckpointRef,
    CheckpointRow,
    LogRef,
    Seek,
    SessionRow,
    SessionSummary,
    WriteRow,
    WriteSize,
)
from lockstitch_server.storage import list_queries
from lockstitch_server.storage.columns import segments, session_row, tail
from lockstitch_server.storage.sql_files import load

CLOCK = "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000000)"
"""The time in ns, to the millisecond: of this host, like `host_clock`."""
SQL = load(__package__, "statements.sql", clock=CLOCK, write_head=str(HEAD_BYTES))

host_clock = time.time_ns
"""SQLite's clock is that of the host. Here it has all its digits, which revisions are made of."""

SEEKS = {"at": SQL["get_checkpoint"], "below": SQL["get_below"], "upto": SQL["get_upto"]}

DIALECT = list_queries.Dialect(
    schema="",
    placeholder=lambda number: f"?{number}",
    # CROSS JOIN: keeps SQLite from beginning with the tenant or the session.
    terms_join="terms t CROSS JOIN checkpoints c ON c.id = t.checkpoint",
    has_term="EXISTS (SELECT 1 FROM terms WHERE term = {} AND checkpoint = c.id)",
    clock=CLOCK,
    has_labels=(
        "NOT EXISTS (SELECT 1 FROM json_each({}) wanted WHERE NOT EXISTS "
        "(SELECT 1 FROM json_each(s.labels) label WHERE label.key = wanted.key AND label.value = wanted.value))"
    ),
)


class SqliteCatalog:
    """Reads over one connection, in its thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.now = 0

    async def sessions(self, keys: Sequence[bytes]) -> Mapping[bytes, SessionRow]:
        self.now = host_clock()
        found = (self._connection.execute(SQL["get_session"], (key,)).fetchone() for key in keys)
        return {row[0]: session_row((*row, self.now)) for row in found if row is not None}

    async def checkpoints(self, seeks: Sequence[Seek]) -> Mapping[Seek, CheckpointRow]:
        found = ((seek, self._seek(seek)) for seek in seeks)
        return {seek: row for seek, row in found if row is not None}

    async def tails(self, logs: Sequence[LogName]) -> Mapping[LogName, Tail]:
        found = ((name, self._connection.execute(SQL["get_tail"], name).fetchone()) for name in logs)
        return {name: tail(*name, row) for name, row in found if row is not None}

    async def segments(self, logs: Sequence[LogRef]) -> Mapping[LogRef, Sequence[Segment]]:
        return {
            ref: segments(ref.key, ref.log, self._connection.execute(SQL["get_segments"], ref).fetchall())
            for ref in logs
        }

    async def write_sizes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteSize]]:
        return {
            ref: [size for row in self._connection.execute(SQL["get_write_sizes"], ref) for size in sizes_of(*row)]
            for ref in checkpoints
        }

    async def writes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteRow]]:
        return {
            ref: [WriteRow(*row) for row in self._connection.execute(SQL["get_writes"], ref)] for ref in checkpoints
        }

    async def greatest_written(self, namespaces: Sequence[NamespaceName]) -> Mapping[NamespaceName, str]:
        found = ((name, self._connection.execute(SQL["get_greatest_written"], name).fetchone()) for name in namespaces)
        return {name: checkpoint_id for name, (checkpoint_id,) in found if checkpoint_id is not None}

    async def find(self, seeks: Sequence[Seek]) -> Mapping[Seek, Found]:
        sessions = await self.sessions(list({seek.key for seek in seeks}))
        return {seek: await self._found(seek, sessions[seek.key]) for seek in seeks if seek.key in sessions}

    async def segments_as_of(
        self, logs: Sequence[LogRef], revisions: Mapping[bytes, int]
    ) -> Mapping[LogRef, Sequence[Segment]]:
        return await self.segments(logs)  # of the snapshot that the revisions are from

    async def misplaced(self, sessions: Sequence[SessionName]) -> Collection[bytes]:
        return {name[0] for name in sessions if self._connection.execute(SQL["get_misplaced"], name).fetchone()}

    async def checkpoint_names(self, key: bytes) -> Sequence[tuple[str, str]]:
        return self._connection.execute(SQL["get_names"], (key,)).fetchall()

    async def checkpoint_counts(self, keys: Sequence[bytes]) -> Mapping[bytes, int]:
        return {key: self._connection.execute(SQL["count_checkpoints"], (key,)).fetchone()[0] for key in keys}

    async def list_sessions(self, query: SessionQuery) -> Sequence[SessionSummary]:
        return [list_queries.session_summary(row) for row in self._named(*list_queries.sessions(query, DIALECT))]

    async def list_checkpoints(self, query: CheckpointQuery) -> Sequence[ListedCheckpoint]:
        return [list_queries.listed_checkpoint(row) for row in self._named(*list_queries.checkpoints(query, DIALECT))]

    async def count_checkpoints(self, query: CheckpointQuery) -> int:
        count: int = self._connection.execute(*list_queries.checkpoint_count(query, DIALECT)).fetchone()[0]
        return count

    async def totals(self) -> Totals:
        return Totals(*self._connection.execute(SQL["get_totals"]).fetchone())

    async def ancestors(self, start: CheckpointRef, limit: int) -> Sequence[CheckpointRow]:
        rows = self._connection.execute(SQL["get_ancestors"], {**start._asdict(), "limit": limit})
        return [CheckpointRow(*row) for row in rows]

    def _named(self, sql: str, parameters: Sequence[Any]) -> Iterator[sqlite3.Row]:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(sql, parameters)

    async def _found(self, seek: Seek, session: SessionRow) -> Found:
        row = self._seek(seek)
        if row is None or not session.write_bytes:
            return Found(session, row, ())
        ref = CheckpointRef(row.key, row.namespace, row.checkpoint_id)
        return Found(session, row, (await self.writes([ref]))[ref])

    def _seek(self, seek: Seek) -> CheckpointRow | None:
        if seek.checkpoint_id is None:
            found = self._connection.execute(SQL["get_latest"], (seek.key, seek.namespace))
        else:
            found = self._connection.execute(SEEKS[seek.how], (seek.key, seek.namespace, seek.checkpoint_id))
        row = found.fetchone()
        return CheckpointRow(*row) if row is not None else None
