"""Copies sessions within the database: it writes records of checkpoints again, and reads no bytes of states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.named_logs import named_logs
from lockstitch_server.core.format.rows import CheckpointChange, CheckpointRow, Seek, SessionChange, SessionRow
from lockstitch_server.core.format.search_terms import stored_terms
from lockstitch_server.core.sessions.leases import check_not_deleted
from lockstitch_server.core.sessions.session import Session, held, session_not_found
from lockstitch_server.engine.clearing import clear
from lockstitch_server.engine.reads.lister import not_found
from lockstitch_server.storage.copies import copy_content
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

REVISION_BYTES = 8


@dataclass(frozen=True, slots=True)
class Copy:
    """What to copy, and where to."""

    tenant: str
    source: str
    target: str
    origin: bytes
    """A digest of all of this."""
    at: tuple[str, str] | None = None
    """Namespace and id of the last checkpoint to copy; None: all."""
    labels: Mapping[str, str] = field(default_factory=dict)
    ttl: int | None = None


class Copier:
    """Copies sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def copy(self, copy: Copy) -> SessionRow:
        """Make a copy; gives the new session.

        Fails with SESSION_NOT_FOUND, CHECKPOINT_NOT_FOUND, SESSION_ALREADY_EXISTS, SESSION_DELETED, LEASE_HELD,
        DATA_LOSS.
        """
        unit = partial(_copy, copy=copy)
        while (copied := await self._store.transaction(unit, snapshot=True)) is None:
            await clear(self._store, copy.tenant, copy.target)
        return copied


async def _copy(repository: SessionRepository, copy: Copy) -> SessionRow | None:
    """None: the target is over, and must be cleared first."""
    target = await repository.lock(copy.tenant, copy.target)
    if target.alive and target.origin == copy.origin + _revision(target):
        return target.row
    _check_target(target)
    source = await repository.get(copy.tenant, copy.source)
    if not source.alive:
        raise session_not_found(copy.source)
    if not target.alive and await repository.leaves_much(target.row.key):
        return None
    rows = await _rows(repository, source, copy)
    change = _prepare(source, target, copy, rows, await repository.newest(target))
    logs = named_logs(row for row in rows if row.intact)
    await copy_content(repository, source, target, change, logs, whole=copy.at is None)
    target.origin = copy.origin + _revision(target)
    target.is_new = False
    await repository.put(target)
    return target.row


def _revision(session: Session) -> bytes:
    return session.row.revision.to_bytes(REVISION_BYTES, "big")


def _check_target(target: Session) -> None:
    check_not_deleted(target.row)
    if target.lease is not None:
        raise held(target.row.session_id, target.lease)
    if target.alive and (target.row.checkpoint_count or target.row.write_bytes):
        session_id = target.row.session_id
        raise Failure(
            Reason.SESSION_ALREADY_EXISTS, f"there is a session {session_id!r} already", session_id=session_id
        )


async def _rows(repository: SessionRepository, source: Session, copy: Copy) -> list[CheckpointRow]:
    """The checkpoints to copy."""
    end = await _end(repository, source, copy)
    return [row async for rows in repository.pages(source) for row in rows if end is None or _is_up_to(row, end)]


async def _end(repository: SessionRepository, source: Session, copy: Copy) -> CheckpointRow | None:
    if copy.at is None:
        return None
    seek = Seek(source.row.key, copy.at[0], "at", copy.at[1])
    row = (await repository.catalog.checkpoints([seek])).get(seek)
    if row is None:
        raise not_found(copy.source)
    return row


def _is_up_to(row: CheckpointRow, end: CheckpointRow) -> bool:
    if row.namespace == end.namespace:
        return row.checkpoint_id <= end.checkpoint_id
    return row.revision <= end.revision


def _prepare(source: Session, target: Session, copy: Copy, rows: list[CheckpointRow], newest: int) -> SessionChange:
    """Make the target what it will be, except its logs and writes. newest: the revision of what it holds so far."""
    checkpoints = {(row.namespace, row.checkpoint_id): _moved(row, target.row) for row in rows}
    row, is_new = target.row, target.is_new
    if not is_new:
        target.end(newest)
    row.created_at = target.now
    row.revision = max([row.revision, *(each.revision for each in rows)])
    row.last_log = max(row.last_log, source.row.last_log)
    row.checkpoint_count = len(rows)
    row.stored_bytes, row.write_bytes = sum(len(each.record) for each in rows), 0
    row.ttl, row.expire_at = copy.ttl, None
    target.labels = copy.labels
    target.changed()
    return SessionChange(row, is_new, wipe=not is_new, checkpoints=checkpoints)


def _moved(row: CheckpointRow, target: SessionRow) -> CheckpointChange:
    """A checkpoint as the target's. One that is damaged is as damaged there, and is not found by searches."""
    moved = row.moved(target.key)
    return CheckpointChange(moved, stored_terms(target.tenant, moved) if row.intact else (), True)
