"""Puts what was exported into a store: each session whole, in one transaction, or not at all.

What is there already in the same revision is left as it is, so an import that was interrupted can be run again.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from lockstitch.v1.checkpoint_pb2 import PendingWrite
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.archive import ArchiveInvalid, check_header
from lockstitch_server.core.format.compression import pack
from lockstitch_server.core.format.content import content_of
from lockstitch_server.core.format.parts import NO_TAIL, RowSizes
from lockstitch_server.core.format.pending_writes import new_write, rows_of
from lockstitch_server.core.format.rows import CheckpointChange, CheckpointRow, NewWrite, SessionChange, SessionRow
from lockstitch_server.core.format.search_terms import stored_terms
from lockstitch_server.core.planning.changes import grow_log
from lockstitch_server.core.sessions.session import Retention, Session
from lockstitch_server.records.v1.archive_pb2 import (
    ArchivedCheckpoint,
    ArchivedLog,
    ArchivedSession,
    ArchivedWrite,
    ArchiveFrame,
)
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store


@dataclass
class Restored:
    """What an import has done so far. `failures` has a sentence for each session that was left out."""

    created: int = 0
    unchanged: int = 0
    checkpoints: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Gathered:
    """What has been read of a session."""

    session: ArchivedSession
    logs: dict[int, bytearray] = field(default_factory=dict)
    checkpoints: list[ArchivedCheckpoint] = field(default_factory=list)
    writes: list[ArchivedWrite] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"session {self.session.session_id!r} of {self.session.tenant!r}"


async def restore(
    store: Store,
    frames: Iterable[ArchiveFrame],
    tally: Restored,
    session_ids: Collection[str] = (),
    *,
    replace: bool = False,
) -> None:
    """Import all sessions of an archive, or those of some ids. `tally` can be watched meanwhile.

    replace: put them in place of sessions that are there with other content.

    Raises ArchiveInvalid, Failure.
    """
    missing = set(session_ids)
    for gathered in _sessions(frames):
        if session_ids and gathered.session.session_id not in session_ids:
            continue
        missing.discard(gathered.session.session_id)
        unit = partial(_put, gathered=gathered, sizes=store.row_sizes, replace=replace)
        try:
            problem = await store.transaction(unit)
        except Failure as failure:
            if failure.reason is not Reason.DATA_LOSS:
                raise
            problem = "what is there of this name cannot be read, nor replaced; move the sessions to a new store"
        if problem:
            tally.failures.append(f"{gathered.name}: {problem}")
        elif problem is None:
            tally.created += 1
            tally.checkpoints += len(gathered.checkpoints)
        else:
            tally.unchanged += 1
    tally.failures.extend(f"session {name!r}: it is not in the archive" for name in sorted(missing))


def _sessions(frames: Iterable[ArchiveFrame]) -> Iterator[Gathered]:
    """The sessions of an archive, one at a time. Raises ArchiveInvalid."""
    rest = iter(frames)
    check_header(next(rest))
    current: Gathered | None = None
    for frame in rest:
        kind = frame.WhichOneof("frame")
        if kind == "session":
            current = Gathered(frame.session)
        elif kind == "end":
            return
        elif current is None:
            raise ArchiveInvalid(f"there is a {kind} outside of any session")
        elif kind == "session_end":
            _check_end(current, frame)
            yield current
            current = None
        else:
            _gather(current, frame)


def _gather(gathered: Gathered, frame: ArchiveFrame) -> None:
    match frame.WhichOneof("frame"):
        case "log":
            _append(gathered, frame.log)
        case "checkpoint":
            gathered.checkpoints.append(frame.checkpoint)
        case "write":
            gathered.writes.append(frame.write)
        case _:
            pass  # of a newer program, and not needed: else the format had another number


def _append(gathered: Gathered, piece: ArchivedLog) -> None:
    data = gathered.logs.setdefault(piece.log, bytearray())
    if len(data) != piece.start:
        raise ArchiveInvalid(f"{gathered.name}: a piece of log {piece.log} is missing")
    data.extend(piece.data)


def _check_end(gathered: Gathered, frame: ArchiveFrame) -> None:
    counts = (len(gathered.checkpoints), len(gathered.writes))
    if counts != (frame.session_end.checkpoints, frame.session_end.writes):
        raise ArchiveInvalid(f"{gathered.name} is not whole")


async def _put(repository: SessionRepository, gathered: Gathered, sizes: RowSizes, *, replace: bool) -> str | None:
    """Write a session. Gives "" where it is there already, another text where it cannot be written."""
    archived = gathered.session
    session = await repository.lock_damaged(archived.tenant, archived.session_id)
    if session is None:
        session = await repository.lock(archived.tenant, archived.session_id)
        problem = _problem(session, archived.revision, replace=replace)
        if problem is not None:
            return problem
    elif not replace:
        return "its row here is damaged; replace it with --session and --replace"
    was_there = not session.is_new
    if was_there and (replace or session.row.revision >= archived.revision):
        # The revision must move: servers plan saves on what they know of the session at its revision.
        session.end(await repository.newest(session))
    _settle(session, archived)
    if was_there:
        session.deletion_revision = session.row.revision  # tells a collection of logs that began before
    else:
        await repository.put(session)
    change = _change(gathered, session.row, sizes)
    change.wipe = was_there
    await repository.apply([change])
    session.is_new = False
    await repository.put(session)
    return None


def _problem(session: Session, revision: int, *, replace: bool) -> str | None:
    """What keeps a session from being written; "": it is there already."""
    if session.alive and not replace:
        if session.row.revision == revision:
            return ""
        if session.row.checkpoint_count or session.row.write_bytes:
            return "there is another one of this name, with other content; --session and --replace replace it"
    if session.row.tombstone_until and not replace:
        return "it was deleted here, and cannot come back yet"
    if session.lease is not None:
        return f"{session.lease.holder!r} holds its lease here"
    return None


def _settle(session: Session, archived: ArchivedSession) -> None:
    """Make a session what it was where it comes from. Numbers that must never come again only grow."""
    row = session.row
    row.created_at, row.updated_at = archived.created_at, archived.updated_at
    row.revision = max(row.revision, archived.revision)
    row.last_log = max(row.last_log, archived.last_log)
    row.ttl = archived.ttl if archived.HasField("ttl") else None
    row.expire_at = archived.expire_at if archived.HasField("expire_at") else None
    session.tombstone_until = None
    session.labels = dict(archived.labels)
    own = archived.HasField("keep_last") or archived.HasField("max_age")
    session.retention = Retention(archived.keep_last, archived.max_age) if own else None
    session.lease_token = max(session.lease_token, archived.lease_token)
    session.deletion_revision = max(session.deletion_revision, archived.deletion_revision)
    session.deleted_revision = max(session.deleted_revision, archived.deleted_revision)
    session.origin = b""


def _change(gathered: Gathered, row: SessionRow, sizes: RowSizes) -> SessionChange:
    """The rows of a session, whose counters are set."""
    rows = [_checkpoint(archived, row.key) for archived in gathered.checkpoints]
    writes = rows_of(row.key, map(_write, gathered.writes))
    row.checkpoint_count = len(rows)
    row.content = content_of(rows, writes)
    row.write_bytes = sum(len(write.data) for write in writes)
    logs = sum(len(data) for data in gathered.logs.values())
    row.stored_bytes = sum(len(each.record) for each in rows) + logs + row.write_bytes
    change = SessionChange(row, False, writes=writes)
    change.checkpoints = {
        (each.namespace, each.checkpoint_id): CheckpointChange(each, stored_terms(row.tenant, each), True)
        for each in rows
    }
    for log, data in gathered.logs.items():
        grow_log(change, log, NO_TAIL, bytes(data), sizes)
    return change


def _checkpoint(archived: ArchivedCheckpoint, key: bytes) -> CheckpointRow:
    row = CheckpointRow(
        key,
        archived.namespace,
        archived.checkpoint_id,
        archived.parent_id,
        archived.step,
        archived.revision,
        pack(archived.record),
    )
    row.crc = row.checksum()
    return row


def _write(archived: ArchivedWrite) -> NewWrite:
    write = PendingWrite.FromString(archived.write)
    return new_write(archived.namespace, archived.checkpoint_id, write, archived.write)
