"""The read path: loads that wait share a trip to the database."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, NamedTuple

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format import search_terms
from lockstitch_server.core.format.content import has_names
from lockstitch_server.core.format.reading import CheckpointQuery, Found
from lockstitch_server.core.format.rows import CheckpointRow, Seek, session_damaged
from lockstitch_server.core.format.selection import ALL, Selection
from lockstitch_server.core.ids import default_checkpoint_id
from lockstitch_server.engine.batches import run_batch
from lockstitch_server.engine.batching_queue import BatchingQueue, BatchObserver, Bounds
from lockstitch_server.engine.reads.assembler import (
    Loaded,
    Wanted,
    Writes,
    answer_size,
    assemble,
    checkpoints_lost,
    is_latest_lost,
    latest_lost,
    logs_of,
    names_lost,
    put_together,
    ref_of,
)
from lockstitch_server.storage.reading import Catalog
from lockstitch_server.storage.store import Store

MANY = 16
MOST_NAMES = 1000
"""Checkpoints of a session whose names are compared with those that were saved, where one is not found."""


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
    room: int = sys.maxsize
    """How many bytes the answer may have."""

    @property
    def seek(self) -> Seek:
        """What to look for."""
        if self.by == "latest":
            return Seek(self.key, self.namespace, "below", None)
        wanted = self.value if isinstance(self.value, str) else default_checkpoint_id(self.value)
        return Seek(self.key, self.namespace, "at", wanted)


class Absent(NamedTuple):
    """There is no such checkpoint."""

    session_revision: int
    """0: there is no such session."""


class TooBig(NamedTuple):
    """There is one, which is larger than the query's room."""

    size: int
    """About how many bytes the answer has."""


Answer = Loaded | Absent | TooBig | Failure
_Findings = Mapping[LoadQuery, Found]
"""What was found in sessions that are alive."""


class Loader:
    """Loads single checkpoints."""

    def __init__(self, store: Store, bounds: Bounds, observer: BatchObserver | None = None) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(store.readers) if store.is_distributed else None
        # Loads that come while one is under way share the next trip; only many of them get a connection more.
        self._batcher: BatchingQueue[LoadQuery, Loaded | Absent | TooBig] = BatchingQueue(
            self._load_batch,
            lambda _: 1,
            bounds,
            group_of=attrgetter("tenant"),
            max_in_flight=store.readers,
            min_batch=MANY,
            observer=observer,
        )

    @property
    def queued(self) -> tuple[int, int]:
        """How many loads wait, twice."""
        return self._batcher.queued

    async def load(self, query: LoadQuery) -> Loaded | Absent | TooBig:
        """The checkpoint, if there is one, and room for it. Fails with DATA_LOSS, OVERLOADED, STORE_UNAVAILABLE."""
        return await self._batcher.submit(query)

    async def close(self) -> None:
        """Take no more, and answer all that was taken."""
        await self._batcher.close()

    async def _load_batch(self, queries: Sequence[LoadQuery]) -> Sequence[Answer]:
        return await run_batch(self._load, queries, self._slots)

    async def _load(self, queries: Sequence[LoadQuery]) -> Sequence[Answer]:
        if all(query.by != "step" for query in queries):
            with suppress(InconsistentRead):
                return await self._store.point_reads(lambda catalog: load_without_snapshot(queries, catalog))
        return await self._store.snapshot(lambda repository: load_all(queries, repository.catalog))


class InconsistentRead(Exception):
    """What was found may not belong together."""


async def load_without_snapshot(queries: Sequence[LoadQuery], catalog: Catalog) -> list[Answer]:
    """Answer queries by two questions at most, each of which sees its own moment. Raises Unsure.

    The second is for logs, which only grow as long as their session is the same. It fails, and so does this, where the
    session has changed in between.
    """
    found = await _find(queries, catalog)
    lost = await lost_sessions(queries, found, catalog)
    if lost:
        raise InconsistentRead
    wanted, too_big = _fitting(_wanted(found))
    known = _known_writes(found)
    if any(each.wants_writes and each.ref not in known for each in wanted.values()):
        raise InconsistentRead
    logs = logs_of(wanted.values())
    revisions = {each.session.key: each.session.revision for each in wanted.values()}
    segments = await catalog.segments_as_of(logs, revisions) if logs else {}
    loaded = {query: put_together(each, segments, known) for query, each in wanted.items()}
    if any(isinstance(each, Failure) for each in loaded.values()):
        raise InconsistentRead
    return _answers(queries, found, {**loaded, **too_big})


async def load_all(queries: Sequence[LoadQuery], catalog: Catalog) -> list[Answer]:
    """Answer queries on one snapshot. One that fails leaves the others alone."""
    found = await _find(queries, catalog)
    for query in found:
        if query.by == "step" and not found[query].session.damaged:
            found[query] = await _with_odd_ones(query, found[query], catalog)
    wanted, too_big = _fitting(_wanted(found))
    loaded = await assemble(list(wanted.values()), catalog, _known_writes(found))
    lost = await lost_sessions(queries, found, catalog)
    return _answers(queries, found, {**dict(zip(wanted, loaded, strict=True)), **too_big, **lost})


async def lost_sessions(
    queries: Sequence[LoadQuery], found: _Findings, catalog: Catalog
) -> Mapping[LoadQuery, Failure]:
    """Queries that found nothing, or something else, where something should be: its row, or its session's, is damaged.

    Those that found nothing are few: a session is not there before its first save.
    """
    lost = {query: session_damaged(query.session_id) for query, each in found.items() if each.session.damaged}
    unknown = {query: (query.key, query.tenant, query.session_id) for query in queries if query not in found}
    misplaced = await catalog.misplaced(list(set(unknown.values()))) if unknown else ()
    lost |= {query: session_damaged(query.session_id) for query in unknown if query.key in misplaced}
    lost |= {
        query: latest_lost(query.session_id, query.namespace)
        for query, each in found.items()
        if query not in lost and query.by == "latest" and is_latest_lost(each.session, query.namespace, each.checkpoint)
    }
    absent = {query: each for query, each in found.items() if each.checkpoint is None and query not in lost}
    counts = await catalog.checkpoint_counts(list({query.key for query in absent})) if absent else {}
    for query, each in absent.items():
        count = counts[query.key]
        if count != each.session.checkpoint_count:
            lost[query] = checkpoints_lost(query.session_id, each.session.checkpoint_count, count)
        elif count <= MOST_NAMES and not has_names(each.session.content, await catalog.checkpoint_names(query.key)):
            lost[query] = names_lost(query.session_id)
    return lost


async def _find(queries: Sequence[LoadQuery], catalog: Catalog) -> dict[LoadQuery, Found]:
    found = await catalog.find(list(dict.fromkeys(query.seek for query in queries)))
    rows = ((query, found[query.seek]) for query in queries if query.seek in found)
    return {query: each for query, each in rows if each.session.damaged or not each.session.had_expired}


def _wanted(found: _Findings) -> dict[LoadQuery, Wanted]:
    return {
        query: Wanted(each.session, each.checkpoint, query.selection)
        for query, each in found.items()
        if each.checkpoint is not None and not each.session.damaged
    }


def _fitting(wanted: Mapping[LoadQuery, Wanted]) -> tuple[dict[LoadQuery, Wanted], dict[LoadQuery, TooBig]]:
    """What there is room for, and what there is not."""
    sizes = {query: answer_size(each) for query, each in wanted.items()}
    fitting = {query: each for query, each in wanted.items() if sizes[query] <= query.room}
    return fitting, {query: TooBig(size) for query, size in sizes.items() if size > query.room}


def _known_writes(found: _Findings) -> Writes:
    return {
        ref_of(each.checkpoint): each.writes
        for each in found.values()
        if each.checkpoint is not None and each.writes is not None
    }


def _answers(
    queries: Sequence[LoadQuery], found: _Findings, loaded: Mapping[LoadQuery, Loaded | TooBig | Failure]
) -> list[Answer]:
    return [loaded.get(query) or Absent(found[query].session.revision if query in found else 0) for query in queries]


async def _with_odd_ones(query: LoadQuery, found: Found, catalog: Catalog) -> Found:
    """The greatest of all checkpoints of a step, those among them whose ids do not tell their step."""
    candidates = [found.checkpoint, await _odd(query, catalog)]
    matching = [row for row in candidates if row is not None and row.step == query.value]
    greatest = max(matching, key=lambda row: row.checkpoint_id.encode(), default=None)
    return found if greatest is found.checkpoint else Found(found.session, greatest, None)


async def _odd(query: LoadQuery, catalog: Catalog) -> CheckpointRow | None:
    """The greatest checkpoint of a step among those whose ids do not tell their step."""
    assert isinstance(query.value, int)
    term = search_terms.term(query.key, search_terms.odd_steps(query.namespace, query.value))
    found = await catalog.list_checkpoints(
        CheckpointQuery(query.tenant, 1, query.key, query.namespace, query.value, query.value, [term], rare=True)
    )
    return found[0].row if found else None
