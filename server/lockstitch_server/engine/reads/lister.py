"""Lists, and walks along parents."""

from collections.abc import AsyncGenerator, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.ancestry import depends_on
from lockstitch_server.core.format.parts import state_size
from lockstitch_server.core.format.reading import CheckpointQuery, ListedCheckpoint, SessionCursor, SessionQuery
from lockstitch_server.core.format.rows import (
    CheckpointRef,
    CheckpointRow,
    Seek,
    SessionSummary,
    WriteSize,
    session_damaged,
)
from lockstitch_server.core.format.selection import Selection, selected
from lockstitch_server.core.ids import session_key
from lockstitch_server.engine.damage import DamageLog
from lockstitch_server.engine.reads.assembler import Loaded, LoadTarget, assemble, checkpoints_lost, ref_of
from lockstitch_server.storage.reading import Catalog
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

WALK_CHUNK = 32
"""How many ancestors are read at once."""


class SessionPage(NamedTuple):
    """Sessions, and whether there are more."""

    sessions: Sequence[SessionSummary]
    more: bool


class DamagedCheckpoint(NamedTuple):
    """A checkpoint that cannot be read, and why."""

    session_id: str
    namespace: str
    checkpoint_id: str
    failure: Failure


class CheckpointPage(NamedTuple):
    """Checkpoints, and whether there are more."""

    rows: Sequence[ListedCheckpoint]
    """With those that are damaged."""
    loaded: Sequence[Loaded]
    damaged: Sequence[DamagedCheckpoint]
    total: int | None
    more: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk along the ancestors of a checkpoint, and the parts to read of each."""

    key: bytes
    session_id: str
    namespace: str
    checkpoint_id: str
    """Empty: the latest."""
    selection: Selection
    limit: int
    """0: all."""


class Lister:
    """Answers lists from the store, a page at a time."""

    def __init__(self, store: Store, max_page_bytes: int, damage: DamageLog | None = None) -> None:
        self._store = store
        self._max_page_bytes = max_page_bytes
        self._damage = damage or DamageLog()

    async def sessions(self, query: SessionQuery) -> SessionPage:
        """A page of sessions. Those whose rows are damaged are marked so."""
        found = await self._store.snapshot(lambda repository: _shown_sessions(repository, query, query.limit + 1))
        for summary in found:
            if summary.row.damaged:
                self._damage.note(summary.row.key, "list", "the row of the session fails its checksum")
        return SessionPage(found[: query.limit], len(found) > query.limit)

    async def checkpoints(self, query: CheckpointQuery, selection: Selection, *, total: bool) -> CheckpointPage:
        """A page of checkpoints, ended by count or by size."""

        async def unit(repository: SessionRepository) -> CheckpointPage:
            catalog = repository.catalog
            found = await catalog.list_checkpoints(replace(query, limit=query.limit + 1))
            writes = await catalog.write_sizes([ref_of(row) for _, row in found]) if selection.writes and found else {}
            rows = found[: min(query.limit, self._fitting([row for _, row in found], selection, writes))]
            sessions = await catalog.sessions(sorted({listed.row.key for listed in rows}))
            loaded = await assemble([LoadTarget(sessions[row.key], row, selection) for _, row in rows], catalog)
            count = await catalog.count_checkpoints(query) if total else None
            more = len(found) > len(rows)
            damaged = [_damaged(*pair) for pair in zip(rows, loaded, strict=True) if isinstance(pair[1], Failure)]
            if not more and query.key is not None:
                damaged += await _lost(query.key, query, catalog)
            whole = [item for item in loaded if not isinstance(item, Failure)]
            return CheckpointPage(rows, whole, damaged, count, more)

        page = await self._store.snapshot(unit)
        for each in page.damaged:
            self._damage.note(session_key(query.tenant, each.session_id), "list", each.failure.message)
        return page

    async def ancestors(self, walk: Walk) -> AsyncGenerator[Sequence[Loaded], None]:
        """The parents of a checkpoint, nearest first, in pieces of at most a page's bytes, unless one is larger.

        Fails with CHECKPOINT_NOT_FOUND; with DATA_LOSS also where it depends on an ancestor that is missing.
        """
        first = await self._start(walk)
        seen, start, left = {first.checkpoint_id}, first.checkpoint_id, walk.limit
        while True:
            chunk = min(WALK_CHUNK, left) if walk.limit else WALK_CHUNK
            rows, loaded, is_end = await self._ancestors(walk, start, chunk)
            fresh = _fresh(rows, seen)
            bad = next((number for number, item in enumerate(loaded[:fresh]) if isinstance(item, Failure)), fresh)
            yield [_whole(item) for item in loaded[:bad]]
            if bad < fresh:
                _whole(loaded[bad])
            left -= len(rows)
            if fresh == len(rows) and walk.limit and left <= 0:
                return
            if fresh < len(rows) or is_end:
                _check_complete(walk, first, seen)
                return
            start = rows[-1].checkpoint_id

    async def _start(self, walk: Walk) -> CheckpointRow:
        seek = Seek(walk.key, walk.namespace, "at" if walk.checkpoint_id else "below", walk.checkpoint_id or None)

        async def unit(repository: SessionRepository) -> CheckpointRow | None:
            catalog = repository.catalog
            session = (await catalog.sessions([walk.key])).get(walk.key)
            alive = session is not None and not session.had_expired
            return (await catalog.checkpoints([seek])).get(seek) if alive else None

        row = await self._store.snapshot(unit)
        if row is None:
            raise not_found(walk.session_id)
        return row

    async def _ancestors(
        self, walk: Walk, start: str, limit: int
    ) -> tuple[Sequence[CheckpointRow], Sequence[Loaded | Failure], bool]:
        """Some ancestors, and whether there are no more."""

        async def unit(
            repository: SessionRepository,
        ) -> tuple[Sequence[CheckpointRow], Sequence[Loaded | Failure], bool]:
            catalog = repository.catalog
            session = (await catalog.sessions([walk.key]))[walk.key]
            found = await catalog.ancestors(CheckpointRef(walk.key, walk.namespace, start), limit)
            may_be_large = walk.selection.writes and session.write_bytes > self._max_page_bytes
            writes = await catalog.write_sizes([ref_of(row) for row in found]) if may_be_large and found else {}
            rows = found[: self._fitting(found, walk.selection, writes)]
            loaded = await assemble([LoadTarget(session, row, walk.selection) for row in rows], catalog)
            return rows, loaded, len(found) < limit and len(rows) == len(found)

        return await self._store.snapshot(unit)

    def _fitting(
        self, found: Sequence[CheckpointRow], selection: Selection, writes: Mapping[CheckpointRef, Sequence[WriteSize]]
    ) -> int:
        """How many of the rows fit in a page by their bytes; at least one."""
        size = 0
        for number, row in enumerate(found):
            size += len(row.record) + sum(write.size for write in writes.get(ref_of(row), ()))
            size += _state_size(row, selection) if selection.state else 0
            if number and size > self._max_page_bytes:
                return number
        return len(found)


async def _shown_sessions(repository: SessionRepository, query: SessionQuery, count: int) -> list[SessionSummary]:
    """Up to `limit` sessions, without those that are not to be shown."""
    shown, more = list[SessionSummary](), True
    while more and len(shown) < count:
        asked = count - len(shown)
        found = await repository.catalog.list_sessions(replace(query, limit=asked))
        shown += [summary for summary in found if summary.is_shown]
        more = len(found) == asked
        if found:
            query = replace(query, after=SessionCursor(found[-1].row.updated_at, found[-1].row.session_id))
    return shown


def _fresh(rows: Sequence[CheckpointRow], seen: set[str]) -> int:
    """The number of rows before the first one that was seen. Adds them to `seen`."""
    for number, row in enumerate(rows):
        if row.checkpoint_id in seen:
            return number
        seen.add(row.checkpoint_id)
    return len(rows)


def _state_size(row: CheckpointRow, selection: Selection) -> int:
    try:
        return state_size(selected(row.decoded().manifest, selection))
    except Failure:
        return 0  # reported when it is assembled


def not_found(session_id: str) -> Failure:
    """The failure of a call for a checkpoint that does not exist."""
    return Failure(
        Reason.CHECKPOINT_NOT_FOUND, f"there is no such checkpoint in session {session_id!r}", session_id=session_id
    )


def _check_complete(walk: Walk, first: CheckpointRow, seen: Container[str]) -> None:
    """Fails with DATA_LOSS where the walk from `first` has ended before the ancestor that `first` depends on."""
    farthest = depends_on(first)
    if farthest and farthest not in seen:
        raise Failure(
            Reason.DATA_LOSS,
            f"checkpoint {first.checkpoint_id!r} depends on its ancestor {farthest!r}, and the walk ends before it: "
            "an ancestor was deleted",
            session_id=walk.session_id,
            namespace=walk.namespace,
            checkpoint_id=first.checkpoint_id,
        )


def _damaged(listed: ListedCheckpoint, failure: Loaded | Failure) -> DamagedCheckpoint:
    assert isinstance(failure, Failure)
    return DamagedCheckpoint(listed.session_id, listed.row.namespace, listed.row.checkpoint_id, failure)


def _is_whole_session(query: CheckpointQuery) -> bool:
    """Whether nothing but the page narrows the list of a session's checkpoints."""
    narrowed = (query.namespace, query.min_step, query.max_step)
    return all(value is None for value in narrowed) and not query.terms and not query.before_id


async def _lost(key: bytes, query: CheckpointQuery, catalog: Catalog) -> list[DamagedCheckpoint]:
    """Entries for checkpoints that a session should have and that were not found."""
    name = query.session_id
    session = (await catalog.sessions([key])).get(key)
    if session is None:
        lost = await catalog.misplaced([(key, query.tenant, name)])
        return [DamagedCheckpoint(name, "", "", session_damaged(name))] if lost else []
    if session.damaged:
        return [DamagedCheckpoint(name, "", "", session_damaged(name))]
    if session.had_expired or not _is_whole_session(query):
        return []
    found = (await catalog.checkpoint_counts([key]))[key]
    if found == session.checkpoint_count:
        return []
    return [DamagedCheckpoint(name, "", "", checkpoints_lost(name, session.checkpoint_count, found))]


def _whole(item: Loaded | Failure) -> Loaded:
    if isinstance(item, Failure):
        raise item
    return item
