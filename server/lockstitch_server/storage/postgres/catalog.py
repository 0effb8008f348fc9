"""Reads from Postgres: one round trip for each question, however many sessions it is about."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from asyncpg import Record

from lockstitch_server.core.format.parts import Segment, Tail
from lockstitch_server.core.format.pending_writes import sizes_of
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
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.columns import segments, session_row, tail
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.statements import CLOCK, DISTRIBUTED_SQL, SMALL_WRITES, SQL
from lockstitch_server.storage.tables import CHECKPOINT, SESSION

CURRENT_SESSION_WIDTH = len(SESSION) + 5
GREATEST_ID = list_queries.MAX_ID_END
"""No id is greater."""

DIALECT = list_queries.Dialect(
    schema="lockstitch.",
    placeholder=lambda number: f"${number}",
    terms_join="",
    has_term="c.terms @> ARRAY[{}::bigint]",
    clock=CLOCK,
    has_labels="s.labels::jsonb @> {}::text::jsonb",
)
DISTRIBUTED_DIALECT = DIALECT._replace(is_distributed=True)


class Lists:
    """Reads that name no session, over one connection and within its transaction."""

    _connection: AnyConnection
    _dialect = DIALECT
    _statements = SQL

    async def list_sessions(self, query: SessionQuery) -> Sequence[SessionSummary]:
        sql, parameters = list_queries.sessions(query, self._dialect)
        rows = await self._connection.fetch(sql, *parameters)
        return [list_queries.session_summary(row) for row in rows]

    async def list_checkpoints(self, query: CheckpointQuery) -> Sequence[ListedCheckpoint]:
        sql, parameters = list_queries.checkpoints(query, self._dialect)
        rows = await self._connection.fetch(sql, *parameters)
        return [list_queries.listed_checkpoint(row) for row in rows]

    async def count_checkpoints(self, query: CheckpointQuery) -> int:
        sql, parameters = list_queries.checkpoint_count(query, self._dialect)
        count: int = await self._connection.fetchval(sql, *parameters)
        return count

    async def totals(self) -> Totals:
        (row,) = await self._connection.fetch(self._statements["get_totals"])
        return Totals(*row)


class PostgresCatalog(Lists):
    """Reads over one connection, within its transaction."""

    def __init__(
        self, connection: AnyConnection, *, lock: bool, clock: DatabaseClock | None = None, bucket: int | None = None
    ) -> None:
        """bucket: that of all sessions that are asked for, in a distributed database."""
        self._connection = connection
        self._clock = clock or DatabaseClock()
        self.now = 0
        self._sql = SQL if bucket is None else DISTRIBUTED_SQL
        self._bucket = () if bucket is None else (bucket,)
        self._get_sessions = self._sql["lock_sessions" if lock else "get_sessions"]

    async def sessions(self, keys: Sequence[bytes]) -> Mapping[bytes, SessionRow]:
        rows = await self._connection.fetch(self._get_sessions, keys, *self._bucket)
        if rows:
            self.now = max(row[-1] for row in rows)
            self._clock.saw(self.now)
        return {row[0]: session_row(row) for row in rows if row[0] is not None}  # what is not there comes with the time

    async def checkpoints(self, seeks: Sequence[Seek]) -> Mapping[Seek, CheckpointRow]:
        rows = await self._fetch("seek_checkpoints", _sought(seeks))
        found = ((seeks[row[0]], CheckpointRow(*row[1:])) for row in rows)
        return {seek: row for seek, row in found if _is_met(seek, row)}

    async def find(self, seeks: Sequence[Seek]) -> Mapping[Seek, Found]:
        rows = await self._fetch("find_checkpoints", _sought(seeks))
        return {seeks[row[0]]: _found(seeks[row[0]], row[1:]) for row in rows}

    async def segments_as_of(
        self, logs: Sequence[LogRef], revisions: Mapping[bytes, int]
    ) -> Mapping[LogRef, Sequence[Segment]]:
        columns = [*_columns(logs), list(revisions), list(revisions.values())]
        return _segments(logs, await self._fetch("get_segments_as_of", columns))

    async def tails(self, logs: Sequence[LogName]) -> Mapping[LogName, Tail]:
        rows = await self._fetch("get_tails", _columns(logs)[1:])
        return {(row[0], row[1]): tail(row[0], row[1], row[2:]) for row in rows}

    async def segments(self, logs: Sequence[LogRef]) -> Mapping[LogRef, Sequence[Segment]]:
        return _segments(logs, await self._fetch("get_segments", _columns(logs)))

    async def write_sizes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteSize]]:
        found = _grouped(checkpoints, await self._fetch("get_write_sizes", _columns(checkpoints)), sizes_of)
        return {ref: [*chain.from_iterable(rows)] for ref, rows in found.items()}

    async def writes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteRow]]:
        return _grouped(checkpoints, await self._fetch("get_writes", _columns(checkpoints)), WriteRow)

    async def greatest_written(self, namespaces: Sequence[NamespaceName]) -> Mapping[NamespaceName, str]:
        rows = await self._fetch("get_greatest_written", _columns(namespaces))
        return {namespaces[number]: checkpoint_id for number, checkpoint_id in rows}

    async def misplaced(self, sessions: Sequence[SessionName]) -> Collection[bytes]:
        return {row[0] for row in await self._connection.fetch(SQL["get_misplaced"], *zip(*sessions, strict=True))}

    async def checkpoint_names(self, key: bytes) -> Sequence[tuple[str, str]]:
        return [(row[0], row[1]) for row in await self._connection.fetch(self._sql["get_names"], key, *self._bucket)]

    async def checkpoint_counts(self, keys: Sequence[bytes]) -> Mapping[bytes, int]:
        rows = await self._connection.fetch(self._sql["count_checkpoints"], keys, *self._bucket)
        return {row[0]: row[1] for row in rows}

    async def ancestors(self, start: CheckpointRef, limit: int) -> Sequence[CheckpointRow]:
        rows = await self._connection.fetch(self._sql["get_ancestors"], *start, limit, *self._bucket)
        return [CheckpointRow(*row) for row in rows]

    async def _fetch(self, name: str, columns: Sequence[Sequence[Any]]) -> Sequence[Record]:
        return await self._connection.fetch(self._sql[name], *columns, *self._bucket) if columns[0] else []


def _sought(seeks: Sequence[Seek]) -> list[Sequence[Any]]:
    return _columns(
        [(seek.key, seek.namespace, seek.checkpoint_id or GREATEST_ID, seek.how != "below") for seek in seeks]
    )


def _is_met(seek: Seek, row: CheckpointRow) -> bool:
    return seek.how != "at" or row.checkpoint_id == seek.checkpoint_id


def _found(seek: Seek, columns: Sequence[Any]) -> Found:
    """Columns: of the session, of the checkpoint, the bytes of its pending writes, and theirs, each as an array."""
    session, rest = session_row(columns[:CURRENT_SESSION_WIDTH]), columns[CURRENT_SESSION_WIDTH:]
    checkpoint, (size, *writes) = rest[: len(CHECKPOINT)], rest[len(CHECKPOINT) :]
    if checkpoint[0] is None or not _is_met(seek, row := CheckpointRow(*checkpoint)):
        return Found(session, None, ())
    if size is None:
        return Found(session, row, ())
    if size > SMALL_WRITES:
        return Found(session, row, None)
    name = (row.key, row.namespace, row.checkpoint_id)
    return Found(session, row, [WriteRow(*name, *write) for write in zip(*writes, strict=True)])


def _segments(logs: Sequence[LogRef], rows: Iterable[Record]) -> dict[LogRef, Sequence[Segment]]:
    return {ref: segments(ref.key, ref.log, found) for ref, found in _grouped(logs, rows, lambda *row: row).items()}


def _columns(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The columns of some rows, with their numbers in front."""
    return [range(len(rows)), *zip(*rows, strict=True)]


def _grouped(names: Sequence[Any], rows: Iterable[Record], make: Any) -> dict[Any, list[Any]]:
    """Rows by the name whose number they begin with."""
    grouped: dict[Any, list[Any]] = {name: [] for name in names}
    for row in rows:
        grouped[names[row[0]]].append(make(*row[1:]))
    return grouped
