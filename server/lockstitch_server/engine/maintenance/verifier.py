"""Looks through a whole store: whether all that was saved is there, as it was saved, and nothing else.

Each part is read on its own: what cannot be read is a fault, and the check goes on behind it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import content
from lockstitch_server.core.format.logs import joined, wrong_lengths
from lockstitch_server.core.format.pending_writes import writes_of
from lockstitch_server.core.format.rows import CheckpointRow, LogRef, SessionRow, WriteRow
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.session import Session
from lockstitch_server.engine.maintenance.exporter import all_sessions
from lockstitch_server.storage.executor import DatabaseFault
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.session_scan import SweptSession, orphan_keys
from lockstitch_server.storage.store import Store

T = TypeVar("T")

NOTHING = "restore the session from a backup, or delete it"
SWEPT = "would be deleted, as it is when the session is next pruned"
ORPHAN = "log_orphaned"
OUT_OF_PLACE = "out_of_place"
COUNTED = "--repair counts it again"
FORGOTTEN = "restore the session from a backup; --repair accepts what is left, so that loads answer again"
REINDEXED = "--repair builds the indexes again; where that does not help, restore the database from a backup"
REBUILT = "--repair counts it again and drops its labels, expiry, retention and lease"
MOVED = "--repair puts the row back under the key of its name"
PUT_BACK = "--repair puts them back under that key"
FOUND_AGAIN = "--repair writes its search terms again"
DELETED = "--repair puts them back if they fit a session that lacks rows, and deletes them otherwise"

Digests = dict[int, list[tuple[int, bytes]]]
"""By log: the lengths that checkpoints need, with their digests."""


class Fault(NamedTuple):
    """Something that is not as it should be."""

    tenant: str
    session_id: str
    kind: str
    """A word for programs, such as "log_damaged"."""
    table: str
    """The table that it is in; empty: not known."""
    what: str
    mend: str
    """What would be done about it."""
    key: str = ""
    """The key of the session's rows, in hexadecimal digits."""

    @property
    def harmless(self) -> bool:
        """Whether it is only room that could be given back: what replaced checkpoints leave behind."""
        return self.kind == ORPHAN


async def verify(store: Store) -> AsyncIterator[tuple[SweptSession | None, list[Fault]]]:
    """What is wrong with the database, with each session that is not over, and what belongs to no session."""
    yield None, await _of_database(store)
    try:
        async for found in all_sessions(store):
            if found.damaged or not found.over:
                yield found, await store.snapshot(partial(_verify, found=found))
    except Failure as failure:
        yield None, [_unreadable(failure, "sessions")]
    yield None, await _strays(store)


async def _of_database(store: Store) -> list[Fault]:
    try:
        found = await store.snapshot(_database_faults)
    except Failure as failure:
        return [_unreadable(failure, "")]
    return [_database_fault(fault) for fault in found]


def _database_fault(fault: DatabaseFault) -> Fault:
    kind, mend = (OUT_OF_PLACE, PUT_BACK) if fault.key else ("database_damaged", REINDEXED)
    return Fault("", "", kind, fault.table, fault.what, mend, fault.key.hex())


async def _database_faults(repository: SessionRepository) -> Sequence[DatabaseFault]:
    return await repository.executor.guarded(repository.executor.database_faults())


def _unreadable(failure: Failure, table: str) -> Fault:
    if failure.reason is not Reason.DATA_LOSS:
        raise failure
    return Fault("", "", "table_unreadable", table, "not all of the table can be read", REINDEXED)


async def _strays(store: Store) -> list[Fault]:
    try:
        keys = await store.snapshot(lambda repository: orphan_keys(repository))
    except Failure as failure:
        return [_unreadable(failure, "checkpoints, segments or writes")]
    return [_stray(key) for key in keys]


def _stray(key: bytes) -> Fault:
    what = f"there are rows under the key {key.hex()}, and no such session"
    return Fault("", "", "stray", "", what, DELETED, key.hex())


async def _verify(repository: SessionRepository, found: SweptSession) -> list[Fault]:
    key = found.key.hex()
    if not found.session_id:
        what = f"the row of the session with the key {key} cannot be read"
        return [Fault("", "", "session_unreadable", "sessions", what, NOTHING, key)]
    if found.key != session_key(found.tenant, found.session_id):
        mend = MOVED if found.misplaced else NOTHING
        return [Fault(found.tenant, found.session_id, "key_wrong", "sessions", "its key is not its name's", mend, key)]
    if not found.damaged:
        session = await repository.get(found.tenant, found.session_id)
        return [fault async for fault in _Session(repository, session).faults()] if session.alive else []
    what = "the row of the session fails its checksum"
    damaged = Fault(found.tenant, found.session_id, "session_damaged", "sessions", what, REBUILT, key)
    row = SessionRow(found.key, found.tenant, found.session_id, 0, 0)
    checked = _Session(repository, Session(row, 0), counted=False)
    return [damaged, *[fault async for fault in checked.faults()]]


class _Session:
    """One session, on one snapshot. counted: whether its row can be trusted."""

    def __init__(self, repository: SessionRepository, session: Session, *, counted: bool = True) -> None:
        self._repository = repository
        self._session = session
        self._counted = counted
        self._all_is_known = True
        """Whether each checkpoint could be read, so that it is known which logs are needed."""

    async def faults(self) -> AsyncIterator[Fault]:
        checkpoints, unreadable = await self._checkpoints()
        for fault in unreadable:
            yield fault
        digests: Digests = defaultdict(list)
        for checkpoint in checkpoints:
            for fault in self._checkpoint(checkpoint, digests):
                yield fault
        async for fault in self._found_by_searches(checkpoints):
            yield fault
        sizes = await self._read(self._repository.logs(self._session))
        for log in sorted(digests.keys() | (sizes or {}).keys()):
            async for fault in self._log(log, sizes, digests.get(log, [])):
                yield fault
        writes = await self._read(self._repository.all_writes(self._session))
        if sizes is None:
            yield self._fault("logs_unreadable", "segments", "the list of its logs cannot be read", NOTHING)
        if writes is None:
            yield self._fault("writes_unreadable", "writes", "its pending writes cannot be read", NOTHING)
        for write in writes or ():
            for fault in self._write(write):
                yield fault
        if self._counted and not unreadable and writes is not None:
            for fault in self._lost(checkpoints, writes):
                yield fault
        if self._counted and not unreadable and sizes is not None and writes is not None:
            for fault in self._counters(checkpoints, sum(sizes.values()), sum(len(each.data) for each in writes)):
                yield fault

    async def _read(self, work: Awaitable[T]) -> T | None:
        """What is read; None where that fails because of damage."""
        try:
            return await self._repository.executor.guarded(work)
        except Failure as failure:
            if failure.reason is not Reason.DATA_LOSS:
                raise
            return None

    async def _checkpoints(self) -> tuple[list[CheckpointRow], list[Fault]]:
        """All that can be read, one by one where not all can, and a fault for each of the others."""
        found = await self._read(self._repository.all_checkpoints(self._session))
        if found is not None:
            return found, []
        self._all_is_known = False
        names = await self._read(self._repository.names(self._session))
        if names is None:
            what = "the list of its checkpoints cannot be read"
            return [], [self._fault("checkpoints_unreadable", "checkpoints", what, NOTHING)]
        rows, faults = list[CheckpointRow](), list[Fault]()
        for namespace, checkpoint_id in names:
            row = await self._read(self._repository.checkpoint(self._session, namespace, checkpoint_id))
            if row is not None:
                rows.append(row)
                continue
            what = f"checkpoint {checkpoint_id!r} of namespace {namespace!r} cannot be read"
            faults.append(self._fault("checkpoint_unreadable", "checkpoints", what, NOTHING))
        return rows, faults

    def _checkpoint(self, row: CheckpointRow, digests: Digests) -> Iterator[Fault]:
        """What is wrong with a checkpoint's own row. Notes what it needs of logs."""
        try:
            manifest = row.decoded().manifest
        except Failure:
            self._all_is_known = False
            what = f"checkpoint {_name(row)} is damaged"
            yield self._fault("checkpoint_damaged", "checkpoints", what, NOTHING)
            return
        if self._counted and row.revision > self._session.row.revision:
            what = f"checkpoint {_name(row)} is of a revision to come"
            yield self._fault("revision_wrong", "sessions", what, COUNTED)
        for part in manifest.parts:
            if part.log:
                digests[part.log].append((part.length, part.digest))

    async def _found_by_searches(self, checkpoints: list[CheckpointRow]) -> AsyncIterator[Fault]:
        intact = [row for row in checkpoints if row.intact]
        wrong = await self._read(self._repository.executor.not_found_by_searches(self._session.row.tenant, intact))
        for row in wrong or ():
            what = f"searches do not find checkpoint {_name(row)} by all that it has"
            yield self._fault("terms_wrong", "checkpoints", what, FOUND_AGAIN)

    def _write(self, row: WriteRow) -> Iterator[Fault]:
        try:
            writes_of(row)
        except Failure:
            where = f"{row.namespace!r}/{row.checkpoint_id!r}"
            what = f"the pending write {row.task_id!r} of {where} is damaged"
            yield self._fault("write_damaged", "writes", what, NOTHING)

    async def _log(
        self, log: int, sizes: dict[int, int] | None, needed: list[tuple[int, bytes]]
    ) -> AsyncIterator[Fault]:
        size = (sizes or {}).get(log, 0)
        if not needed:
            if self._all_is_known:
                yield self._fault(ORPHAN, "segments", f"no checkpoint names log {log}, of {size} bytes", SWEPT)
            return
        longest = max(length for length, _ in needed)
        if not size and sizes is not None:
            what = f"log {log}, of {longest} bytes, is missing"
            yield self._fault("log_missing", "segments", what, NOTHING)
            return
        ref = LogRef(self._session.row.key, log, max(size, longest))
        rows = await self._read(self._repository.catalog.segments([ref]))
        if rows is None:
            yield self._fault("log_unreadable", "segments", f"log {log} cannot be read", NOTHING)
            return
        data, problem = joined(rows.get(ref, ()))
        if problem:
            yield self._fault("log_damaged", "segments", f"log {log}: {problem}", NOTHING)
        elif len(data) < longest:
            what = f"log {log} has {len(data)} of {longest} bytes"
            yield self._fault("log_short", "segments", what, NOTHING)
        else:
            for length in wrong_lengths(data, ((length, digest) for length, digest in needed if digest)):
                what = f"the first {length} bytes of log {log} are others"
                yield self._fault("digest_wrong", "segments", what, NOTHING)

    def _counters(self, checkpoints: list[CheckpointRow], logs: int, written: int) -> Iterator[Fault]:
        row = self._session.row
        counts = (
            ("checkpoint_count", row.checkpoint_count, len(checkpoints)),
            ("stored_bytes", row.stored_bytes, sum(len(each.record) for each in checkpoints) + logs + written),
            ("write_bytes", row.write_bytes, written),
        )
        for name, said, found in counts:
            if said != found:
                what = f"{name} says {said}, where there are {found}"
                yield self._fault("counter_wrong", "sessions", what, COUNTED)

    def _lost(self, checkpoints: list[CheckpointRow], writes: list[WriteRow]) -> Iterator[Fault]:
        """Rows that the session has noted and that are not there under their names."""
        noted = self._session.row.content
        if not content.has_names(noted, ((row.namespace, row.checkpoint_id) for row in checkpoints)):
            lost = "its checkpoints are not those that were saved"
            yield self._fault("checkpoints_lost", "checkpoints", lost, FORGOTTEN)
        for namespace, what in content.wrong_namespaces(noted, checkpoints, writes):
            where = f"namespace {namespace!r}" if namespace is not None else "a namespace without checkpoints"
            if what == "writes":
                lost = f"pending writes of the latest checkpoint of {where} are missing"
                yield self._fault("writes_lost", "writes", lost, FORGOTTEN)
            else:
                lost = f"the latest checkpoint of {where} is missing"
                yield self._fault("latest_lost", "checkpoints", lost, FORGOTTEN)

    def _fault(self, kind: str, table: str, what: str, mend: str) -> Fault:
        row = self._session.row
        return Fault(row.tenant, row.session_id, kind, table, what, mend, row.key.hex())


def _name(row: CheckpointRow) -> str:
    return f"{row.checkpoint_id!r} of namespace {row.namespace!r}"
