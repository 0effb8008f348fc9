"""Everything that a store holds, session by session, each as it is at one moment. Servers may go on meanwhile."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from lockstitch_server.core import archive
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.packing import unpack
from lockstitch_server.core.parts import check_crc
from lockstitch_server.core.pending import writes_of
from lockstitch_server.core.reading import Catalog
from lockstitch_server.core.records import CheckpointRow, LogRef, NewWrite
from lockstitch_server.core.session import Session
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
from lockstitch_server.storage.keeper import Keeper, SweptSession
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
    """All of a session, at one moment."""

    session: Session
    checkpoints: list[CheckpointRow]
    logs: dict[int, bytes]
    writes: list[ArchivedWrite]


async def export(store: Store, writer: str, tally: Exported, tenant: str | None = None) -> AsyncIterator[ArchiveFrame]:
    """The frames of an archive of all sessions, or those of a tenant. `tally` can be watched meanwhile.

    A session that is damaged is left out, and told.
    """
    header = ArchiveHeader(format=archive.FORMAT, created_at=time.time_ns(), writer=writer)
    yield ArchiveFrame(header=header)
    async for found in all_sessions(store):
        if found.over or (tenant is not None and found.tenant != tenant):
            continue
        try:
            content = await store.look(partial(read_session, found=found))
        except Failure as failure:
            tally.failures = (*tally.failures, f"session {found.session_id!r} of {found.tenant!r}: {failure.message}")
            continue
        if content is None:
            continue
        for frame in _frames(content):
            yield frame
        tally.sessions += 1
        tally.checkpoints += len(content.checkpoints)
    yield ArchiveFrame(end=ArchiveEnd(sessions=tally.sessions, checkpoints=tally.checkpoints))


async def all_sessions(store: Store) -> AsyncIterator[SweptSession]:
    """All sessions of all tenants, those that are over among them, by key."""
    after = b""
    while True:
        found = await store.look(partial(_sessions_after, after=after))
        for session in found:
            yield session
        if len(found) < SESSIONS:
            return
        after = found[-1].key


async def _sessions_after(keeper: Keeper, after: bytes) -> list[SweptSession]:
    return await keeper.sessions_after(after, SESSIONS)


async def read_session(keeper: Keeper, found: SweptSession) -> Content | None:
    """All of a session, checked; None where it has ended. Fails with DATA_LOSS."""
    session = await keeper.get(found.tenant, found.session_id)
    if not session.alive:
        return None
    checkpoints = await keeper.all_checkpoints(session)
    sizes = await keeper.logs(session)
    logs = {log: await _log(keeper.catalog, LogRef(session.row.key, log, size)) for log, size in sizes.items()}
    writes = [_write(write) for row in await keeper.all_writes(session) for write in writes_of(row)]
    return Content(session, checkpoints, logs, writes)


async def _log(catalog: Catalog, ref: LogRef) -> bytes:
    rows = (await catalog.segments([ref])).get(ref, ())
    return b"".join(check_crc(data, crc) for _, data, crc in rows)


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
