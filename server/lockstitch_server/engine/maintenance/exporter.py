"""Everything that a store holds, session by session, each as it is at one moment. Servers may go on meanwhile."""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import archive
from lockstitch_server.core.format.compression import unpack
from lockstitch_server.core.format.logs import joined
from lockstitch_server.core.format.named_logs import named_logs
from lockstitch_server.core.format.pending_writes import writes_of
from lockstitch_server.core.format.rows import CheckpointRow, LogRef, NewWrite
from lockstitch_server.core.sessions.session import Session
from lockstitch_server.engine.reads.session_pages import sessions_after
from lockstitch_server.records.v1.archive_pb2 import (
    ArchivedCheckpoint,
    ArchivedLog,
    ArchivedSession,
    ArchivedSessionEnd,
    ArchivedWrite,
    ArchiveEnd,
    ArchiveFrame,
    ArchiveHeader,
)
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.session_scan import SweptSession
from lockstitch_server.storage.store import Store

SESSIONS = 500
"""How many sessions are looked up at once."""


@dataclass
class Exported:
    """What an export has done so far. `failures` has a sentence for each session that was left out."""

    sessions: int = 0
    checkpoints: int = 0
    failures: tuple[str, ...] = ()


class Content(NamedTuple):
    """All of a session that is whole, at one moment."""

    session: Session
    checkpoints: list[CheckpointRow]
    logs: dict[int, bytes]
    writes: list[ArchivedWrite]
    problems: list[str]
    """A sentence for each part that is damaged, and left out."""


async def export(
    store: Store, writer: str, tally: Exported, tenant: str | None = None, session_ids: Collection[str] = ()
) -> AsyncIterator[ArchiveFrame]:
    """The frames of an archive of all sessions, or those of a tenant or of some ids. `tally` can be watched meanwhile.

    What is damaged is left out, and named in `tally.failures`.
    """
    missing = set(session_ids)
    header = ArchiveHeader(format=archive.FORMAT, created_at=time.time_ns(), writer=writer)
    yield ArchiveFrame(header=header)
    async for found in all_sessions(store):
        if found.over or (tenant is not None and found.tenant != tenant):
            continue
        if session_ids and found.session_id not in session_ids:
            continue
        missing.discard(found.session_id)
        whose = f"session {found.session_id!r} of {found.tenant!r}"
        try:
            content = await store.snapshot(partial(read_session, found=found))
        except Failure as failure:
            tally.failures = (*tally.failures, f"{whose}: {failure.message}")
            continue
        if content is None:
            continue
        tally.failures = (*tally.failures, *(f"a part of {whose}: {problem}" for problem in content.problems))
        for frame in _frames(content):
            yield frame
        tally.sessions += 1
        tally.checkpoints += len(content.checkpoints)
    absent = [f"session {name!r}: there is no such session" for name in sorted(missing)]
    tally.failures = (*tally.failures, *absent)
    yield ArchiveFrame(end=ArchiveEnd(sessions=tally.sessions, checkpoints=tally.checkpoints))


async def all_sessions(store: Store) -> AsyncIterator[SweptSession]:
    """All sessions of all tenants, those that are over among them, by key."""
    after = b""
    while True:
        found = await sessions_after(store, after, SESSIONS)
        for session in found:
            yield session
        if len(found) < SESSIONS:
            return
        after = found[-1].key


async def read_session(repository: SessionRepository, found: SweptSession) -> Content | None:
    """All of a session that is whole; None where it has ended. Fails with DATA_LOSS where its row is damaged."""
    session = await repository.get(found.tenant, found.session_id)
    if not session.alive:
        return None
    logs = {
        log: await _log(repository, LogRef(session.row.key, log, size))
        for log, size in (await repository.logs(session)).items()
    }
    content = Content(session, [], logs, [], [])
    for row in await repository.all_checkpoints(session):
        if _is_whole(row, logs):
            content.checkpoints.append(row)
        else:
            content.problems.append(f"checkpoint {row.checkpoint_id!r} of namespace {row.namespace!r} is damaged")
    for write in await repository.all_writes(session):
        try:
            content.writes.extend(map(_write, writes_of(write)))
        except Failure:
            where = f"{write.namespace!r}/{write.checkpoint_id!r}"
            content.problems.append(f"the pending write {write.task_id!r} of {where} is damaged")
    if content.problems:  # logs of what is left out would be orphans
        named = named_logs(content.checkpoints)
        return content._replace(logs={log: data for log, data in logs.items() if log in named})
    return content


async def _log(repository: SessionRepository, ref: LogRef) -> bytes:
    """The bytes of a log, up to the first that cannot be read or are wrong."""
    try:
        rows = (await repository.executor.guarded(repository.catalog.segments([ref]))).get(ref, ())
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS:
            raise
        rows = ()
    return joined(rows)[0]


def _is_whole(row: CheckpointRow, logs: Mapping[int, bytes]) -> bool:
    if not row.intact:
        return False
    return all(part.length <= len(logs.get(part.log, b"")) for part in row.decoded().manifest.parts if part.log)


def _frames(content: Content) -> Iterator[ArchiveFrame]:
    yield ArchiveFrame(session=_session(content.session))
    for log, data in content.logs.items():
        for start, piece in archive.pieces(data):
            yield ArchiveFrame(log=ArchivedLog(log=log, start=start, data=piece))
    for row in content.checkpoints:
        yield ArchiveFrame(checkpoint=_checkpoint(row))
    for write in content.writes:
        yield ArchiveFrame(write=write)
    end = ArchivedSessionEnd(checkpoints=len(content.checkpoints), writes=len(content.writes))
    yield ArchiveFrame(session_end=end)


def _session(session: Session) -> ArchivedSession:
    row, retention = session.row, session.retention
    return ArchivedSession(
        tenant=row.tenant,
        session_id=row.session_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
        last_log=row.last_log,
        ttl=row.ttl,
        expire_at=row.expire_at,
        labels=session.labels,
        keep_last=retention.keep_last if retention is not None else None,
        max_age=retention.max_age if retention is not None else None,
        lease_token=session.lease_token,
        deletion_revision=session.deletion_revision,
        deleted_revision=session.deleted_revision,
    )


def _checkpoint(row: CheckpointRow) -> ArchivedCheckpoint:
    row.decoded()  # checked
    return ArchivedCheckpoint(
        namespace=row.namespace,
        checkpoint_id=row.checkpoint_id,
        parent_id=row.parent_id,
        step=row.step,
        revision=row.revision,
        record=unpack(row.record),
    )


def _write(write: NewWrite) -> ArchivedWrite:
    return ArchivedWrite(namespace=write.namespace, checkpoint_id=write.checkpoint_id, write=write.message)
