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
from lockstitch_server.engine.batching_queue import BatchingQueue, Bounds, QueueObserver
from lockstitch_server.engine.reads.assembler import (
    Loaded,
    LoadTarget,
    Writes,
    answer_size,
    assemble,
    assemble_one,
    checkpoints_lost,
    is_latest_lost,
    latest_lost,
    logs_of,
    names_lost,
    ref_of,
)
from lockstitch_server.storage.reading import Catalog
from lockstitch_server.storage.store import Store

MANY = 16
"""Loads that must wait before a further connection is used."""
MOST_NAMES = 1000
"""If a checkpoint is not found, names are compared with those that were saved in sessions of up to this many."""


@dataclass(frozen=True, slots=True)
class LoadQuery:
    """Asks for a checkpoint: the latest, or that of an id or a step."""

    key: bytes
    tenant: str
    session_id: str
    namespace: str
    by: Literal["latest", "id", "step"] = "latest"
    value: str | int = ""
    selection: Selection = ALL
    room: int = sys.maxsize
    """Maximum bytes of the answer."""

    @property
    def seek(self) -> Seek:
        """The checkpoint to look for. A step is looked for by its default id."""
        if self.by == "latest":
            return Seek(self.key, self.namespace, "below", None)
        wanted = self.value if isinstance(self.value, str) else default_checkpoint_id(self.value)
        return Seek(self.key, self.namespace, "at", wanted)


class Absent(NamedTuple):
    """There is no such checkpoint."""

    session_revision: int
    """0: there is no such session."""


class TooBig(NamedTuple):
    """The answer is larger than the query's room."""

    size: int
    """Bytes of the answer, about."""


Answer = Loaded | Absent | TooBig | Failure
_Findings = Mapping[LoadQuery, Found]
"""The rows that were found, in sessions that have not expired."""


class Loader:
    """Loads single checkpoints."""

    def __init__(self, store: Store, bounds: Bounds, observer: QueueObserver | None = None) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(store.readers) if store.is_distributed else None
        # Loads that arrive while a batch runs share the next trip. Only MANY of them use a further connection.
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
        """The number of loads that wait, and the same: a load counts as one byte."""
        return self._batcher.queued

    async def load(self, query: LoadQuery) -> Loaded | Absent | TooBig:
        """The checkpoint. Fails with DATA_LOSS, OVERLOADED, STORE_UNAVAILABLE."""
        return await self._batcher.submit(query)

    async def close(self) -> None:
        """Refuse new loads, and answer all that wait."""
        await self._batcher.close()

    async def _load_batch(self, queries: Sequence[LoadQuery]) -> Sequence[Answer]:
        return await run_batch(self._load, queries, self._slots)

    async def _load(self, queries: Sequence[LoadQuery]) -> Sequence[Answer]:
        if all(query.by != "step" for query in queries):
            with suppress(InconsistentRead):
                return await self._store.point_reads(lambda catalog: load_without_snapshot(queries, catalog))
        return await self._store.snapshot(lambda repository: load_all(queries, repository.catalog))


class InconsistentRead(Exception):
    """The rows that were read may not be of one snapshot."""


async def load_without_snapshot(queries: Sequence[LoadQuery], catalog: Catalog) -> list[Answer]:
    """Answer queries by at most two reads, each of its own snapshot. Raises InconsistentRead.

    The second reads logs, which only grow while their session is the same. It fails if the session has changed since
    the first.
    """
    found = await _find(queries, catalog)
    lost = await lost_sessions(queries, found, catalog)
    if lost:
        raise InconsistentRead
    targets, too_big = _fitting(_targets(found))
    known = _known_writes(found)
    if any(each.needs_writes and each.ref not in known for each in targets.values()):
        raise InconsistentRead
    logs = logs_of(targets.values())
    revisions = {each.session.key: each.session.revision for each in targets.values()}
    segments = await catalog.segments_as_of(logs, revisions) if logs else {}
    loaded = {query: assemble_one(each, segments, known) for query, each in targets.items()}
    if any(isinstance(each, Failure) for each in loaded.values()):
        raise InconsistentRead
    return _answers(queries, found, {**loaded, **too_big})


async def load_all(queries: Sequence[LoadQuery], catalog: Catalog) -> list[Answer]:
    """Answer queries on one snapshot. A query that fails does not fail the others."""
    found = await _find(queries, catalog)
    for query in found:
        if query.by == "step" and not found[query].session.damaged:
            found[query] = await _with_custom_ids(query, found[query], catalog)
    targets, too_big = _fitting(_targets(found))
    loaded = await assemble(list(targets.values()), catalog, _known_writes(found))
    lost = await lost_sessions(queries, found, catalog)
    return _answers(queries, found, {**dict(zip(targets, loaded, strict=True)), **too_big, **lost})


async def lost_sessions(
    queries: Sequence[LoadQuery], found: _Findings, catalog: Catalog
) -> Mapping[LoadQuery, Failure]:
    """Queries that found no checkpoint, or another one, because its row or its session's row is damaged.

    Few queries find nothing: those of sessions before their first save.
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


def _targets(found: _Findings) -> dict[LoadQuery, LoadTarget]:
    return {
        query: LoadTarget(each.session, each.checkpoint, query.selection)
        for query, each in found.items()
        if each.checkpoint is not None and not each.session.damaged
    }


def _fitting(targets: Mapping[LoadQuery, LoadTarget]) -> tuple[dict[LoadQuery, LoadTarget], dict[LoadQuery, TooBig]]:
    """The targets whose answers have room, and the sizes of the others."""
    sizes = {query: answer_size(each) for query, each in targets.items()}
    fitting = {query: each for query, each in targets.items() if sizes[query] <= query.room}
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


async def _with_custom_ids(query: LoadQuery, found: Found, catalog: Catalog) -> Found:
    """The greatest checkpoint of a step, whether its id is the default of the step or a custom one."""
    candidates = [found.checkpoint, await _greatest_custom_id(query, catalog)]
    matching = [row for row in candidates if row is not None and row.step == query.value]
    greatest = max(matching, key=lambda row: row.checkpoint_id.encode(), default=None)
    return found if greatest is found.checkpoint else Found(found.session, greatest, None)


async def _greatest_custom_id(query: LoadQuery, catalog: Catalog) -> CheckpointRow | None:
    """The greatest checkpoint of a step among those with custom ids."""
    assert isinstance(query.value, int)
    term = search_terms.term(query.key, search_terms.custom_id_steps(query.namespace, query.value))
    found = await catalog.list_checkpoints(
        CheckpointQuery(query.tenant, 1, query.key, query.namespace, query.value, query.value, [term], rare=True)
    )
    return found[0].row if found else None
