"""Whole sessions in a database: read, written, thinned out, copied. Alike on every backend, over an `Executor`."""

import json
import re
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

from lockstitch_server.core import content
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.happenings import SavedCheckpoint
from lockstitch_server.core.ids import session_key, tenant_hash
from lockstitch_server.core.leases import DELETED, Holder
from lockstitch_server.core.parts import moved_crc
from lockstitch_server.core.pending import moved_write_checksum
from lockstitch_server.core.records import (
    NS_PER_MICROSECOND,
    CheckpointRef,
    CheckpointRow,
    Seek,
    SessionChange,
    SessionRow,
    WriteRow,
    session_damaged,
)
from lockstitch_server.core.session import Retention, Session
from lockstitch_server.storage import statements
from lockstitch_server.storage.columns import saved_session, settings_checksum
from lockstitch_server.storage.reading import Catalog
from lockstitch_server.storage.tables import SAVED_SESSION, SEGMENT, SESSION, SETTINGS, WRITE

T = TypeVar("T")

PAGE = 500
"""Checkpoints that are looked into at once."""
ALL = 2**62


class CheckpointName(NamedTuple):
    """A checkpoint of a session, as it was saved in a revision."""

    namespace: str
    checkpoint_id: str
    revision: int


class SweptSession(NamedTuple):
    """A session, as far as a sweep needs to know it."""

    key: bytes
    tenant: str
    session_id: str
    checkpoint_count: int
    retention: Retention | None
    over: bool
    """Whether it is deleted or has expired."""
    damaged: bool = False
    """Whether its row fails its checksum, or cannot be read."""
    misplaced: bool = False
    """Whether the row passes its checksum under the key of its name, under which it does not stand."""


class DatabaseFault(NamedTuple):
    """What a database's own check has found."""

    table: str
    """Empty: not known."""
    what: str


class LostRace(Exception):
    """Another replica created the session meanwhile: read and plan again."""


class Executor(Protocol):
    """Runs statements of `sessions.sql` in a transaction."""

    catalog: Catalog

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run a statement once."""
        ...

    async def run_all(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement many times."""
        ...

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        """Write checkpoints of sessions."""
        ...

    async def forget_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        """Take checkpoints, which are about to be deleted, out of what they are searched by."""
        ...

    async def forget_stray_terms(self) -> None:
        """Delete search terms of checkpoints that are not there."""
        ...

    async def put_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        """Write again what checkpoints are searched by."""
        ...

    async def not_found_by_searches(self, tenant: str, rows: Sequence[CheckpointRow]) -> Sequence[CheckpointRow]:
        """The checkpoints that have not all the search terms that they should have."""
        ...

    async def guarded(self, work: Awaitable[T]) -> T:
        """Do a part of a unit that may fail with DATA_LOSS, so that the unit can go on all the same."""
        ...

    async def database_faults(self) -> Sequence[DatabaseFault]:
        """What the database's own check finds."""
        ...

    async def reindex(self) -> None:
        """Build all indexes again."""
        ...


class Keeper:
    """What can be done to whole sessions within one transaction."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.catalog = executor.catalog

    # Sessions

    async def lock(self, tenant: str, session_id: str) -> Session:
        """A session that stays as it is until the transaction ends; a new one, not yet stored, where there is none."""
        await self.executor.fetch("lock", {"key": session_key(tenant, session_id)})
        return await self.get(tenant, session_id)

    async def get(self, tenant: str, session_id: str) -> Session:
        """The same without a lock."""
        key = session_key(tenant, session_id)
        ((now, *columns),) = await self.executor.fetch("details", {"key": key})
        if columns[0] is None:
            return Session(SessionRow(key, tenant, session_id, now, now), now, is_new=True)
        return _session(now, columns)

    async def lock_damaged(self, tenant: str, session_id: str) -> Session | None:
        """A session whose row fails its checksum, as if it had nothing; None where the row is sound, or not there.

        To be put in place of the damaged row, or deleted.
        """
        try:
            await self.lock(tenant, session_id)
        except Failure:
            key = session_key(tenant, session_id)
            ((now, *_),) = await self.executor.fetch("details", {"key": key})
            return Session(SessionRow(key, tenant, session_id, now, now, now // NS_PER_MICROSECOND), now)
        return None

    async def put(self, session: Session) -> None:
        """Write a session that was locked. Raises LostRace where another one has made it meanwhile."""
        values = _values(session)
        if session.is_new and not await self.executor.fetch("insert_session", values):
            raise LostRace
        await self.executor.run_all("update_session", [values])

    async def delete(self, session: Session) -> None:
        """Leave nothing of a session, whose checkpoints are gone already."""
        await self.delete_rest(session)
        await self.executor.run_all("delete_session", [{"key": session.row.key}])

    async def delete_rest(self, session: Session) -> None:
        """Delete all logs and pending writes."""
        key = {"key": session.row.key}
        await self.executor.run_all("delete_all_writes", [key])
        await self.executor.run_all("delete_all_segments", [key])

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

    async def some(self, session: Session, limit: int) -> list[CheckpointName]:
        """Any of its checkpoints."""
        rows = await self.executor.fetch("any_names", {"key": session.row.key, "limit": limit})
        return [CheckpointName(*row) for row in rows]

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

    async def page(self, session: Session, after: CheckpointRow | None) -> list[CheckpointRow]:
        """Checkpoints by namespace and id."""
        name = (after.namespace, after.checkpoint_id) if after is not None else ("", "")
        values = {"key": session.row.key, "namespace": name[0], "checkpoint_id": name[1], "limit": PAGE}
        return [CheckpointRow(*row) for row in await self.executor.fetch("page_of_checkpoints", values)]

    async def all_checkpoints(self, session: Session) -> list[CheckpointRow]:
        """All checkpoints by namespace and id."""
        found: list[CheckpointRow] = []
        while page := await self.page(session, found[-1] if found else None):
            found.extend(page)
        return found

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

    async def strays(self) -> list[bytes]:
        """Keys under which there are rows, and no session. Goes through the whole store."""
        return [row[0] for row in await self.executor.fetch("strays", {})]

    async def add(self, change: SessionChange) -> None:
        """Write checkpoints, rows of logs and pending writes of a session that is there."""
        await self.executor.apply([change])

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
        session.lost(max(row.revision for row in rows), sum(len(row.record) for row in rows), len(rows))
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

    async def clear_checkpoints(self, session: Session, rows: Sequence[CheckpointRow]) -> None:
        """Delete checkpoints of a session that is over, whose counters count nothing any more."""
        await self.executor.forget_terms(session.row.tenant, rows)
        names = [_name(row) for row in rows]
        await self.executor.run_all("delete_checkpoint", names)

    async def delete_later_writes(self, session: Session, row: CheckpointRow) -> None:
        """Delete the pending writes of what comes after a checkpoint in its namespace, be it there yet or not."""
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

    # Copies

    async def copy_content(
        self, source: Session, target: Session, change: SessionChange, logs: Mapping[int, int], *, whole: bool
    ) -> None:
        """Copy checkpoints, which `change` holds, with the named beginnings of logs and all pending writes."""
        keys: dict[str, Any] = {"source": source.row.key, "target": target.row.key}
        moved = moved_crc(source.row.key, target.row.key)
        await self.executor.apply([change])
        await self.executor.run_all(
            "copy_log", [{**keys, "moved": moved, "log": log, "length": end} for log, end in logs.items()]
        )
        keys["moved"] = moved_write_checksum(source.row.key, target.row.key)
        if source.row.write_bytes and whole:
            await self.executor.run_all("copy_all_writes", [keys])
        elif source.row.write_bytes:
            names = [{**keys, "namespace": name[0], "checkpoint_id": name[1]} for name in change.checkpoints]
            await self.executor.run_all("copy_writes", names)
        key = {"key": target.row.key}
        ((segments,),) = await self.executor.fetch("segment_bytes", key)
        ((writes,),) = await self.executor.fetch("write_bytes", key)
        target.row.content = await self.content_of([checkpoint.row for checkpoint in change.checkpoints.values()])
        target.row.write_bytes = writes
        target.row.stored_bytes += segments + writes

    # Many sessions

    async def sessions_of_tenant(self, tenant: str, after: str, limit: int) -> list[str]:
        """Ids of sessions that have checkpoints, in order."""
        values = {"tenant": tenant, "after": after, "limit": limit}
        return [row[0] for row in await self.executor.fetch("sessions_of_tenant", values)]

    async def sessions_after(self, after: bytes, limit: int) -> list[SweptSession]:
        """Sessions of all tenants by key."""
        rows = await self.executor.fetch("sessions_after", {"after": after, "limit": limit})
        return [_swept(row) for row in rows]

    async def keys_after(self, after: bytes, limit: int) -> list[bytes]:
        """Keys of sessions of all tenants, in order, out of the index alone."""
        return [row[0] for row in await self.executor.fetch("keys_after", {"after": after, "limit": limit})]

    async def swept(self, key: bytes) -> SweptSession:
        """The session under a key that `keys_after` gave."""
        rows = await self.executor.fetch("session_of_key", {"key": key})
        return _swept(rows[0]) if rows else SweptSession(key, "", "", 0, None, over=False, damaged=True)

    # Elections

    async def stand(self, office: str, holder: str, term: int) -> bytes | None:
        """Take or keep an office for a time in ns. Gives how far it has come; None where another holds it."""
        values = {"name": office, "holder": holder, "term": term, "position": b""}
        rows = await self.executor.fetch("stand", values)
        return rows[0][0] if rows else None

    async def put_position(self, office: str, holder: str, position: bytes) -> None:
        """Remember how far one has come."""
        await self.executor.run_all("put_position", [{"name": office, "holder": holder, "position": position}])

    async def retire(self, office: str, holder: str) -> None:
        """Leave an office to others."""
        await self.executor.run_all("retire", [{"name": office, "holder": holder}])


class Positional(NamedTuple):
    """A statement whose parameters are numbered, and their names in that order."""

    sql: str
    names: tuple[str, ...]

    def values(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of the parameters."""
        return tuple(values[name] for name in self.names)


def load(**words: str) -> Mapping[str, str]:
    """The statements of `sessions.sql`, with named parameters. words: those in braces."""
    copied = {"key": ":target", "crc": words["crc_of_copy"]}
    words["copied_segment"] = ", ".join(copied.get(name, name) for name in SEGMENT)
    words["copied_write"] = ", ".join(copied.get(name, name) for name in WRITE)
    return statements.load(__package__, "sessions.sql", **words)


def positional(sql: str) -> Positional:
    """A statement as databases want it that know no names."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return Positional(re.sub(r"(?<!:):(\w+)", number, sql), tuple(names))


def _session(now: int, columns: Sequence[Any]) -> Session:
    row, settings, (latest_id, latest_step, crc, settings_crc) = split(columns)
    if row.checksum() != crc or settings_checksum(row.key, settings) != settings_crc:
        raise session_damaged(row.session_id)
    session = session_of(now, row, settings)
    session.latest_checkpoint_id, session.latest_step = latest_id or "", latest_step or 0
    return session


def split(columns: Sequence[Any]) -> tuple[SessionRow, Sequence[Any], Sequence[Any]]:
    """A session's row out of its columns SESSION, its columns SETTINGS, and what stands behind them."""
    settings_end = len(SESSION) + len(SETTINGS)
    return SessionRow(*columns[: len(SESSION)]), columns[len(SESSION) : settings_end], columns[settings_end:]


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
        _retention(keep_last, max_age),
        deletion or 0,
        deleted or 0,
        origin or b"",
    )


def _swept(columns: Sequence[Any]) -> SweptSession:
    over, crc, settings_crc = columns[:3]
    row, settings, _ = split(columns[3:])
    damaged = row.checksum() != crc or settings_checksum(row.key, settings) != settings_crc
    named = replace(row, key=session_key(row.tenant, row.session_id))
    misplaced = named.key != row.key and named.checksum() == crc
    keep_last, max_age = (settings[SETTINGS.index(name)] for name in ("keep_last", "max_age"))
    retention = None if damaged else _retention(keep_last, max_age)
    names = (row.key, row.tenant, row.session_id)
    return SweptSession(*names, row.checkpoint_count, retention, bool(over), damaged or misplaced, misplaced)


def _is_latest(session: SessionRow, row: CheckpointRow) -> bool:
    """Whether a session has noted this as the latest checkpoint of its namespace."""
    known = content.latest_in(session.content, row.namespace)
    return known is not None and known.checkpoint == row.crc


def _name(row: CheckpointRow) -> dict[str, Any]:
    return {"key": row.key, "namespace": row.namespace, "checkpoint_id": row.checkpoint_id}


def _retention(keep_last: int | None, max_age: int | None) -> Retention | None:
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
