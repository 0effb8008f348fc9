"""The read path: loads that wait share a trip to the database."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, NamedTuple

from lockstitch_server.core import terms
from lockstitch_server.core.checkpoint import join_state
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.ids import default_checkpoint_id
from lockstitch_server.core.parts import Segment, read_part
from lockstitch_server.core.pending import in_order
from lockstitch_server.core.reading import Catalog, CheckpointQuery
from lockstitch_server.core.records import CheckpointRef, CheckpointRow, LogRef, Seek, SessionRow, WriteRow
from lockstitch_server.core.selection import ALL, Selection, join_checkpoint, selected
from lockstitch_server.core.view import state_size
from lockstitch_server.engine.batcher import Batcher, BatchObserver, Bounds
from lockstitch_server.records.v1.record_pb2 import Part
from lockstitch_server.storage.store import Store

MANY = 16
ODD = (terms.odd_steps, terms.odd_step)


@dataclass(frozen=True, slots=True)
class LoadQuery:
    """Which checkpoint is wanted: the latest, or that of an id or a step."""

    key: bytes
    tenant: str
    session_id: str
    namespace: str
    by: Literal["latest", "id", "step"] = "latest"
    value: str | int = ""
    selection: Selection = ALL


class Loaded(NamedTuple):
    """A checkpoint, put together from stored bytes."""

    checkpoint: bytes
    """The Checkpoint message, serialized."""
    writes: Sequence[bytes]
    """PendingWrite messages, serialized, by (task_path, task_id, index)."""
    revision: int
    """The revision that the content was written in."""
    session_revision: int
    checkpoint_id: str
    saved_at: int
    state_bytes: int
    write_channels: Sequence[str]
    trace_id: bytes
    """Of the trace in which the content was written, 16 bytes; empty: none."""


class Absent(NamedTuple):
    """There is no such checkpoint."""

    session_revision: int
    """0: there is no such session."""


class Loader:
    """Loads single checkpoints."""

    def __init__(self, store: Store, bounds: Bounds, observer: BatchObserver | None = None) -> None:
        self._store = store
        # Loads that come while one is under way share the next trip; only many of them get a connection more.
        self._batcher: Batcher[LoadQuery, Loaded | Absent] = Batcher(
            self._load,
            lambda _: 1,
            bounds,
            group_of=attrgetter("tenant"),
            lanes=store.readers,
            fill=MANY,
            observer=observer,
        )

    @property
    def queued(self) -> tuple[int, int]:
        """How many loads wait, twice."""
        return self._batcher.queued

    async def load(self, query: LoadQuery) -> Loaded | Absent:
        """The checkpoint, if there is one. Fails with DATA_LOSS, OVERLOADED, STORE_UNAVAILABLE."""
        return await self._batcher.submit(query)

    async def close(self) -> None:
        """Take no more, and answer all that was taken."""
        await self._batcher.close()

    async def _load(self, queries: Sequence[LoadQuery]) -> Sequence[Loaded | Absent | Failure]:
        by_keys = all(query.by != "step" for query in queries)
        return await self._store.read(lambda catalog: load_all(queries, catalog, time.time_ns()), by_keys=by_keys)


async def load_all(queries: Sequence[LoadQuery], catalog: Catalog, now: int) -> list[Loaded | Absent | Failure]:
    """Answer queries on one snapshot. One that fails leaves the others alone."""
    sessions = await catalog.sessions(sorted({query.key for query in queries}))
    alive = {key: row for key, row in sessions.items() if not row.expired(now)}
    rows = await _find([query for query in queries if query.key in alive], catalog, now)
    wanted = [(alive[query.key], rows[query], query.selection) for query in queries if query in rows]
    loaded = dict(zip((query for query in queries if query in rows), await assemble(wanted, catalog), strict=True))
    return [loaded.get(query) or Absent(alive[query.key].revision if query.key in alive else 0) for query in queries]


async def assemble(
    wanted: Sequence[tuple[SessionRow, CheckpointRow, Selection]], catalog: Catalog
) -> list[Loaded | Failure]:
    """Put checkpoints together out of rows, logs and pending writes."""
    logs = {ref for _, row, selection in wanted for ref in _logs(row, selection)}
    segments = await catalog.segments(sorted(logs)) if logs else {}
    refs = {ref_of(row) for session, row, selection in wanted if selection.writes and session.write_bytes}
    writes = await catalog.writes(sorted(refs)) if refs else {}
    return [_assemble(session, row, selection, segments, writes) for session, row, selection in wanted]


async def _find(queries: Iterable[LoadQuery], catalog: Catalog, now: int) -> dict[LoadQuery, CheckpointRow]:
    seeks = {query: _seek(query) for query in queries}
    found = await catalog.checkpoints(list(dict.fromkeys(seeks.values()))) if seeks else {}
    rows = {query: found[seek] for query, seek in seeks.items() if seek in found}
    for query in seeks:
        if query.by == "step":
            candidates = [rows.pop(query, None), *[await _odd(query, fact, catalog, now) for fact in ODD]]
            matching = [row for row in candidates if row is not None and row.step == query.value]
            if matching:
                rows[query] = max(matching, key=lambda row: row.checkpoint_id.encode())
    return rows


def _seek(query: LoadQuery) -> Seek:
    if query.by == "latest":
        return Seek(query.key, query.namespace, "below", None)
    wanted = query.value if isinstance(query.value, str) else default_checkpoint_id(query.value)
    return Seek(query.key, query.namespace, "at", wanted)


async def _odd(
    query: LoadQuery, fact: Callable[[str, int], terms.Fact], catalog: Catalog, now: int
) -> CheckpointRow | None:
    """The greatest checkpoint of a step among those whose ids do not tell their step, as this fact does."""
    assert isinstance(query.value, int)
    term = terms.term(query.key, fact(query.namespace, query.value))
    found = await catalog.list_checkpoints(
        CheckpointQuery(query.tenant, now, 1, query.key, query.namespace, query.value, query.value, [term], rare=True)
    )
    return found[0].row if found else None


def _logs(row: CheckpointRow, selection: Selection) -> list[LogRef]:
    try:
        parts = selected(row.decoded().manifest, selection).parts
    except Failure:
        return []  # told when the checkpoint is put together
    return [LogRef(row.key, part.log, part.length) for part in parts if part.log]


def ref_of(row: CheckpointRow) -> CheckpointRef:
    """The name of a checkpoint."""
    return CheckpointRef(row.key, row.namespace, row.checkpoint_id)


def _assemble(
    session: SessionRow,
    row: CheckpointRow,
    selection: Selection,
    segments: Mapping[LogRef, Sequence[Segment]],
    writes: Mapping[CheckpointRef, Sequence[WriteRow]],
) -> Loaded | Failure:
    def data_of(part: Part) -> bytes:
        return read_part(part, segments.get(LogRef(row.key, part.log, part.length), ()))

    try:
        record = row.decoded()
        has_state = selection.state and record.HasField("manifest")
        state = join_state(selected(record.manifest, selection), data_of) if has_state else None
        pending = in_order(writes.get(ref_of(row), ()))
        return Loaded(
            join_checkpoint(session.session_id, row, state),
            [write.message for write in pending],
            row.revision,
            session.revision,
            row.checkpoint_id,
            row.saved_at,
            state_size(record.manifest),
            [write.channel for write in pending],
            record.trace_id,
        )
    except Failure as failure:
        return failure
