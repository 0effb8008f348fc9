"""Whole sessions in a database, alike on every backend, over an `Executor`."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format import content
from lockstitch_server.core.format.rows import (
    NS_PER_MICROSECOND,
    CheckpointRef,
    CheckpointRow,
    Seek,
    SessionChange,
    SessionRow,
    WriteRow,
    session_damaged,
)
from lockstitch_server.core.ids import session_key, tenant_hash
from lockstitch_server.core.sessions.events import SavedCheckpoint
from lockstitch_server.core.sessions.leases import DELETED, Holder
from lockstitch_server.core.sessions.session import Retention, Session
from lockstitch_server.storage.columns import saved_session, settings_checksum
from lockstitch_server.storage.executor import Executor, LostRace
from lockstitch_server.storage.tables import SAVED_SESSION, SESSION, SETTINGS, Row

T = TypeVar("T")

PAGE = 500
"""Checkpoints that are looked into at once."""
ALL = 2**62
STEP_ROWS = 500
"""Rows that one transaction deletes of a session that is over. Other saves wait for it: about 0.05 s on SQLite."""
STEP_BYTES = 16 * 1024 * 1024
"""Bytes of such rows. The last row may be larger than what is left of them."""


class CheckpointName(NamedTuple):
    """A checkpoint of a session, as it was saved in a revision."""

    namespace: str
    checkpoint_id: str
    revision: int


class SessionRepository:
    """Reads and changes whole sessions within one transaction."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.catalog = executor.catalog
        """Reads without locks."""
        self.locking = executor.locking
        """Reads that lock the sessions they give."""
        self.applied: list[SessionChange] = []
        """What `apply` has written."""
        self._locked: dict[bytes, bool] = {}
        """By key: whether a row was there to be locked."""

    # Sessions

    async def lock(self, tenant: str, session_id: str) -> Session:
        """A session that stays as it is until the transaction ends; a new one, not yet stored, where there is none.

        Raises LostRace where another transaction has made it between the lock and the reading: it is not locked then.
        """
        await self.lock_row(session_key(tenant, session_id))
        return await self.get(tenant, session_id)

    async def lock_row(self, key: bytes) -> None:
        """Lock the row of a session; see `lock`. What is read of the session afterwards is read under this lock."""
        self._locked[key] = bool(await self.executor.fetch("lock", {"key": key}))

    async def details(self, key: bytes) -> Row:
        """The columns of a session, all null where there is none. Raises LostRace, see `lock`."""
        columns: Row = (await self.executor.fetch("details", {"key": key}))[0]
        if columns["key"] is not None and self._locked.get(key) is False:
            raise LostRace
        return columns

    async def get(self, tenant: str, session_id: str) -> Session:
        """The same without a lock."""
        key = session_key(tenant, session_id)
        columns = await self.details(key)
        if columns["key"] is None:
            now = columns["now"]
            return Session(SessionRow(key, tenant, session_id, now, now), now, is_new=True)
        return _session(columns)

    async def lock_damaged(self, tenant: str, session_id: str) -> Session | None:
        """A session whose row fails its checksum, as if it had nothing; None where the row is sound, or not there.

        To be put in place of the damaged row, or deleted.
        """
        try:
            await self.lock(tenant, session_id)
        except Failure:
            key = session_key(tenant, session_id)
            now = (await self.details(key))["now"]
            return Session(SessionRow(key, tenant, session_id, now, now, now // NS_PER_MICROSECOND), now)
        return None

    async def put(self, session: Session) -> None:
        """Write a session that was locked. Raises LostRace where another one has made it meanwhile."""
        values = _values(session)
        if session.is_new and not await self.executor.fetch("insert_session", values):
            raise LostRace
        self._locked[session.row.key] = True
        await self.executor.run_all("update_session", [values])

    async def delete(self, session: Session) -> None:
        """Delete the row of a session that has no content any more."""
        await self.executor.run_all("delete_session", [{"key": session.row.key}])

    # Checkpoints

    async def outdated(self, session: Session, retention: Retention) -> list[CheckpointName]:
        """The checkpoints that need not stay."""
        oldest = (session.now - retention.max_age) // 1000 if retention.max_age else 0
        values = {"key": session.row.key, "keep_last": retention.keep_last or ALL, "oldest": oldest}
        return [CheckpointName(*row) for row in await self.executor.fetch("outdated", values)]

    async def later(self, row: CheckpointRow) -> list[CheckpointName]:
        """The checkpoints that came after one."""
        values = {
            "key": row.key,
            "namespace": row.namespace,
            "checkpoint_id": row.checkpoint_id,
            "revision": row.revision,
        }
        return [CheckpointName(*found) for found in await self.executor.fetch("later", values)]

    async def newest(self, session: Session) -> int:
        """The greatest revision that one of its checkpoints was saved in; 0: there is none."""
        ((revision,),) = await self.executor.fetch("newest", {"key": session.row.key})
        return int(revision)

    async def has_content(self, session: Session) -> bool:
        """Whether any checkpoint, log or pending write is there, whatever the counters say."""
        return bool((await self.executor.fetch("has_content", {"key": session.row.key}))[0][0])

    async def rows(self, session: Session, names: Iterable[CheckpointName]) -> list[CheckpointRow]:
        """Those of these checkpoints that are there as they were."""
        wanted = {Seek(session.row.key, name.namespace, "at", name.checkpoint_id): name for name in names}
        found = await self.catalog.checkpoints(list(wanted)) if wanted else {}
        return [row for seek, row in found.items() if row.revision == wanted[seek].revision]

    async def pages(self, session: Session) -> AsyncIterator[list[CheckpointRow]]:
        """All checkpoints by namespace and id, some at a time."""
        values = {"key": session.row.key, "namespace": "", "checkpoint_id": "", "limit": PAGE}
        while rows := [CheckpointRow(*row) for row in await self.executor.fetch("page_of_checkpoints", values)]:
            yield rows
            values |= {"namespace": rows[-1].namespace, "checkpoint_id": rows[-1].checkpoint_id}

    async def all_checkpoints(self, session: Session) -> list[CheckpointRow]:
        """All checkpoints by namespace and id."""
        return [row async for rows in self.pages(session) for row in rows]

    async def all_writes(self, session: Session) -> list[WriteRow]:
        """All pending writes by checkpoint."""
        rows = await self.executor.fetch("all_writes", {"key": session.row.key})
        return [WriteRow(*row) for row in rows]

    async def names(self, session: Session) -> list[tuple[str, str]]:
        """Namespaces and ids of all checkpoints, out of the index alone."""
        return [(row[0], row[1]) for row in await self.executor.fetch("names", {"key": session.row.key})]

    async def checkpoint(self, session: Session, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """A checkpoint of this name."""
        seek = Seek(session.row.key, namespace, "at", checkpoint_id)
        return (await self.catalog.checkpoints([seek])).get(seek)

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        """Write checkpoints, rows of logs and pending writes of sessions. The transaction must have locked these."""
        await self.executor.apply(changes)
        self.applied.extend(changes)

    async def delete_checkpoints(self, session: Session, rows: Sequence[CheckpointRow]) -> None:
        """Delete checkpoints with their pending writes, and take note of it in the session."""
        if not rows:
            return
        names = [_name(row) for row in rows]
        await self.executor.forget_terms(session.row.tenant, rows)
        await self.executor.run_all("delete_checkpoint", names)
        if session.row.write_bytes:
            await self.executor.run_all("delete_writes", names)
            await self._count_writes(session)
        session.record_deleted_checkpoints(
            max(row.revision for row in rows), sum(len(row.record) for row in rows), len(rows)
        )
        await self._note_deleted(session, rows)

    async def _note_deleted(self, session: Session, rows: Sequence[CheckpointRow]) -> None:
        """Note in a session's content that checkpoints are not there any more."""
        row = session.row
        for gone in rows:
            row.content = content.with_name(row.content, gone.namespace, gone.checkpoint_id)
        for namespace in sorted({gone.namespace for gone in rows if _is_latest(row, gone)}):
            row.content = content.without_latest(row.content, namespace)
            seek = Seek(row.key, namespace, "below", None)
            latest = (await self.catalog.checkpoints([seek])).get(seek)
            if latest is not None:
                written = content.xor_of(write.crc for write in await self._writes_of([latest]))
                row.content = content.with_latest(row.content, namespace, content.Latest(latest.crc, written))

    async def content_of(self, rows: Sequence[CheckpointRow]) -> bytes:
        """The content of a session that has these checkpoints."""
        return content.content_of(rows, await self._writes_of(content.latest_rows(rows)))

    async def _writes_of(self, rows: Iterable[CheckpointRow]) -> list[WriteRow]:
        refs = [CheckpointRef(row.key, row.namespace, row.checkpoint_id) for row in rows]
        found = await self.catalog.writes(refs) if refs else {}
        return [write for writes in found.values() for write in writes]

    # The content of a session that is over

    async def leaves_much(self, key: bytes) -> bool:
        """Whether a session has more content than one transaction may delete."""
        values = {"key": key, "rows": STEP_ROWS, "bytes": STEP_BYTES}
        return bool((await self.executor.fetch("leaves_much", values))[0][0])

    async def clear_some(self, session: Session) -> bool:
        """Delete as much of its content as one transaction may delete. Returns whether all is deleted."""
        key, rows, size = session.row.key, STEP_ROWS, STEP_BYTES
        for table in ("checkpoints", "segments", "writes"):
            sizes = [row[0] for row in await self.executor.fetch(f"some_{table}", {"key": key, "limit": rows})]
            count = _count_within(sizes, size)
            if table == "checkpoints":
                await self.executor.forget_first_terms(session.row.tenant, key, count)
            if count:
                await self.executor.run_all(f"delete_some_{table}", [{"key": key, "count": count}])
            rows, size = rows - count, size - sum(sizes[:count])
            if rows <= 0 or size <= 0:
                return False
        return True

    async def delete_later_writes(self, session: Session, row: CheckpointRow) -> None:
        """Delete the pending writes of later checkpoints of the namespace, even of those that do not exist yet."""
        await self.executor.run_all("delete_later_writes", [_name(row)])
        await self._count_writes(session)

    async def write_bytes_of(self, session: Session, names: Iterable[CheckpointName]) -> int:
        """How many bytes the pending writes of these checkpoints have."""
        total = 0
        if session.row.write_bytes:
            for namespace, checkpoint_id, _ in names:
                values = {"key": session.row.key, "namespace": namespace, "checkpoint_id": checkpoint_id}
                total += (await self.executor.fetch("write_bytes_of", values))[0][0]
        return total

    async def _count_writes(self, session: Session) -> None:
        ((left,),) = await self.executor.fetch("write_bytes", {"key": session.row.key})
        session.row.stored_bytes -= session.row.write_bytes - left
        session.row.write_bytes = left

    async def saved_since(self, session: Session, revision: int, limit: int, *, lately: bool) -> list[SavedCheckpoint]:
        """Checkpoints of later revisions, in order. lately: whether these are few among those of the session."""
        values = {
            "key": session.row.key,
            "tenant_hash": tenant_hash(session.row.tenant),
            "revision": revision,
            "limit": limit,
        }
        rows = await self.executor.fetch("saved_lately" if lately else "saved_since", values)
        return [SavedCheckpoint(*row) for row in rows]

    # Logs

    async def logs(self, session: Session) -> dict[int, int]:
        """How many bytes each log has."""
        rows = await self.executor.fetch("logs", {"key": session.row.key})
        return {row[0]: row[1] for row in rows}

    async def delete_logs(self, session: Session, logs: Mapping[int, int]) -> None:
        """Delete logs of these sizes, which nothing names."""
        await self.executor.run_all("delete_log", [{"key": session.row.key, "log": log} for log in logs])
        session.row.stored_bytes -= sum(logs.values())


def _session(columns: Row) -> Session:
    row, settings = row_and_settings(columns)
    if row.damaged:
        raise session_damaged(row.session_id)
    session = session_of(columns["now"], row, settings)
    session.latest_checkpoint_id = columns["latest_checkpoint_id"] or ""
    session.latest_step = columns["latest_step"] or 0
    return session


def row_and_settings(columns: Row) -> tuple[SessionRow, Sequence[Any]]:
    """A session's row, with whether any of its columns are damaged, and its columns SETTINGS."""
    row, settings = SessionRow(*[columns[name] for name in SESSION]), [columns[name] for name in SETTINGS]
    sound = row.checksum() == columns["crc"] and settings_checksum(row.key, settings) == columns["settings_crc"]
    row.damaged = not sound
    return row, settings


def session_of(now: int, row: SessionRow, settings: Sequence[Any]) -> Session:
    """A session out of its row and the columns SETTINGS."""
    (labels, token, holder, acquired_at, lease_expire_at, lease_revision) = settings[:6]
    (tombstone_until, keep_last, max_age, deletion, deleted, origin) = settings[6:]
    live, buried = (lease_expire_at or 0) > now, (tombstone_until or 0) > now
    row.lease, row.lease_holder = (token, holder) if live else (0, "")
    row.tombstone_until = tombstone_until if buried and row.expire_at == DELETED else 0
    return Session(
        row,
        now,
        False,
        json.loads(labels),
        token or 0,
        Holder.of(holder or ""),
        acquired_at or 0,
        lease_expire_at or 0,
        lease_revision or 0,
        tombstone_until,
        retention_of(keep_last, max_age),
        deletion or 0,
        deleted or 0,
        origin or b"",
    )


def _count_within(sizes: Sequence[int], limit: int) -> int:
    """How many rows have this number of bytes together; the last one may have more."""
    total = 0
    for count, size in enumerate(sizes):
        if total >= limit:
            return count
        total += size
    return len(sizes)


def _is_latest(session: SessionRow, row: CheckpointRow) -> bool:
    """Whether a session has noted this as the latest checkpoint of its namespace."""
    known = content.latest_in(session.content, row.namespace)
    return known is not None and known.checkpoint == row.crc


def _name(row: CheckpointRow) -> dict[str, Any]:
    return {"key": row.key, "namespace": row.namespace, "checkpoint_id": row.checkpoint_id}


def retention_of(keep_last: int | None, max_age: int | None) -> Retention | None:
    return None if keep_last is None and max_age is None else Retention(keep_last or 0, max_age or 0)


def _values(session: Session) -> dict[str, Any]:
    """All columns of a session by name."""
    values = _settings(session)
    checksum = settings_checksum(session.row.key, [values[name] for name in SETTINGS])
    row = zip(SAVED_SESSION, saved_session(session.row), strict=True)
    return {**dict(row), **values, "settings_crc": checksum}


def _settings(session: Session) -> dict[str, Any]:
    return {
        "labels": json.dumps(dict(session.labels), ensure_ascii=False),
        "lease_token": session.lease_token or None,
        "lease_holder": session.lease_holder.column or None,
        "lease_acquired_at": session.lease_acquired_at or None,
        "lease_expire_at": session.lease_expire_at or None,
        "lease_revision": session.lease_revision or None,
        "tombstone_until": session.tombstone_until,
        "keep_last": session.retention.keep_last if session.retention is not None else None,
        "max_age": session.retention.max_age if session.retention is not None else None,
        "deletion_revision": session.deletion_revision or None,
        "deleted_revision": session.deleted_revision or None,
        "origin": session.origin or None,
    }
