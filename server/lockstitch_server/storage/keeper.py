"""Whole sessions in a database: read, written, thinned out, copied. Alike on every backend, over an `Executor`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from lockstitch_server.core.happenings import SavedCheckpoint
from lockstitch_server.core.ids import session_key, tenant_hash
from lockstitch_server.core.leases import DELETED, NS_PER_SECOND, Holder
from lockstitch_server.core.reading import Catalog
from lockstitch_server.core.records import CheckpointRow, Seek, SessionChange, SessionRow, WriteRow
from lockstitch_server.core.session import Retention, Session
from lockstitch_server.storage import statements

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


class Keeper:
    """What can be done to whole sessions within one transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.catalog = executor.catalog

    # Sessions

    async def lock(self, tenant: str, session_id: str) -> Session:
        """A session that stays as it is until the transaction ends; a new one, not yet stored, where there is none."""
        await self._executor.fetch("lock", {"key": session_key(tenant, session_id)})
        return await self.get(tenant, session_id)

    async def get(self, tenant: str, session_id: str) -> Session:
        """The same without a lock."""
        key = session_key(tenant, session_id)
        ((now, *columns),) = await self._executor.fetch("details", {"key": key})
        if columns[0] is None:
            return Session(SessionRow(key, tenant, session_id, now, now), now, is_new=True)
        return _session(now, columns)

    async def put(self, session: Session) -> None:
        """Write a session that was locked. Raises LostRace where another one has made it meanwhile."""
        values = _values(session)
        if session.is_new and not await self._executor.fetch("insert_session", values):
            raise LostRace
        await self._executor.run_all("update_session", [values])

    async def delete(self, session: Session) -> None:
        """Leave nothing of a session, whose checkpoints are gone already."""
        await self.delete_rest(session)
        await self._executor.run_all("delete_session", [{"key": session.row.key}])

    async def delete_rest(self, session: Session) -> None:
        """Delete all logs and pending writes."""
        key = {"key": session.row.key}
        await self._executor.run_all("delete_all_writes", [key])
        await self._executor.run_all("delete_all_segments", [key])

    # Checkpoints

    async def outdated(self, session: Session, retention: Retention) -> list[CheckpointName]:
        """The checkpoints that need not stay."""
        oldest = (session.now - retention.max_age) // 1000 if retention.max_age else 0
        values = {"key": session.row.key, "keep_last": retention.keep_last or ALL, "oldest": oldest}
        return [CheckpointName(*row) for row in await self._executor.fetch("outdated", values)]

    async def later(self, row: CheckpointRow) -> list[CheckpointName]:
        """The checkpoints that came after one."""
        values = {
            "key": row.key,
            "namespace": row.namespace,
            "checkpoint_id": row.checkpoint_id,
            "revision": row.revision,
        }
        return [CheckpointName(*found) for found in await self._executor.fetch("later", values)]

    async def some(self, session: Session, limit: int) -> list[CheckpointName]:
        """Any of its checkpoints."""
        rows = await self._executor.fetch("any_names", {"key": session.row.key, "limit": limit})
        return [CheckpointName(*row) for row in rows]

    async def newest(self, session: Session) -> int:
        """The greatest revision that one of its checkpoints was saved in; 0: there is none."""
        ((revision,),) = await self._executor.fetch("newest", {"key": session.row.key})
        return int(revision)

    async def has_content(self, session: Session) -> bool:
        """Whether any checkpoint, log or pending write is there, whatever the counters say."""
        return bool((await self._executor.fetch("has_content", {"key": session.row.key}))[0][0])

    async def rows(self, session: Session, names: Iterable[CheckpointName]) -> list[CheckpointRow]:
        """Those of these checkpoints that are there as they were."""
        wanted = {Seek(session.row.key, name.namespace, "at", name.checkpoint_id): name for name in names}
        found = await self.catalog.checkpoints(list(wanted)) if wanted else {}
        return [row for seek, row in found.items() if row.revision == wanted[seek].revision]

    async def page(self, session: Session, after: CheckpointRow | None) -> list[CheckpointRow]:
        """Checkpoints by namespace and id."""
        name = (after.namespace, after.checkpoint_id) if after is not None else ("", "")
        values = {"key": session.row.key, "namespace": name[0], "checkpoint_id": name[1], "limit": PAGE}
        return [CheckpointRow(*row) for row in await self._executor.fetch("page_of_checkpoints", values)]

    async def all_checkpoints(self, session: Session) -> list[CheckpointRow]:
        """All checkpoints by namespace and id."""
        found: list[CheckpointRow] = []
        while page := await self.page(session, found[-1] if found else None):
            found.extend(page)
        return found

    async def all_writes(self, session: Session) -> list[WriteRow]:
        """All pending writes by checkpoint."""
        rows = await self._executor.fetch("all_writes", {"key": session.row.key})
        return [WriteRow(*row) for row in rows]

    async def strays(self) -> list[bytes]:
        """Keys under which there are rows, and no session. Goes through the whole store."""
        return [row[0] for row in await self._executor.fetch("strays", {})]

    async def add(self, change: SessionChange) -> None:
        """Write checkpoints, rows of logs and pending writes of a session that is there."""
        await self._executor.apply([change])

    async def delete_checkpoints(self, session: Session, rows: Sequence[CheckpointRow]) -> None:
        """Delete checkpoints with their pending writes, and take note of it in the session."""
        if not rows:
            return
        names = [_name(row) for row in rows]
        await self._executor.forget_terms(session.row.tenant, rows)
        await self._executor.run_all("delete_checkpoint", names)
        if session.row.write_bytes:
            await self._executor.run_all("delete_writes", names)
            await self._count_writes(session)
        session.lost(max(row.revision for row in rows), sum(len(row.record) for row in rows), len(rows))

    async def clear_checkpoints(self, session: Session, rows: Sequence[CheckpointRow]) -> None:
        """Delete checkpoints of a session that is over, whose counters count nothing any more."""
        await self._executor.forget_terms(session.row.tenant, rows)
        names = [_name(row) for row in rows]
        await self._executor.run_all("delete_checkpoint", names)

    async def delete_later_writes(self, session: Session, row: CheckpointRow) -> None:
        """Delete the pending writes of what comes after a checkpoint in its namespace, be it there yet or not."""
        await self._executor.run_all("delete_later_writes", [_name(row)])
        await self._count_writes(session)

    async def write_bytes_of(self, session: Session, names: Iterable[CheckpointName]) -> int:
        """How many bytes the pending writes of these checkpoints have."""
        total = 0
        if session.row.write_bytes:
            for namespace, checkpoint_id, _ in names:
                values = {"key": session.row.key, "namespace": namespace, "checkpoint_id": checkpoint_id}
                total += (await self._executor.fetch("write_bytes_of", values))[0][0]
        return total

    async def _count_writes(self, session: Session) -> None:
        ((left,),) = await self._executor.fetch("write_bytes", {"key": session.row.key})
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
        rows = await self._executor.fetch("saved_lately" if lately else "saved_since", values)
        return [SavedCheckpoint(*row) for row in rows]

    # Logs

    async def logs(self, session: Session) -> dict[int, int]:
        """How many bytes each log has."""
        rows = await self._executor.fetch("logs", {"key": session.row.key})
        return {row[0]: row[1] for row in rows}

    async def delete_logs(self, session: Session, logs: Mapping[int, int]) -> None:
        """Delete logs of these sizes, which nothing names."""
        await self._executor.run_all("delete_log", [{"key": session.row.key, "log": log} for log in logs])
        session.row.stored_bytes -= sum(logs.values())

    # Copies

    async def copy_content(
        self, source: Session, target: Session, change: SessionChange, logs: Mapping[int, int], *, whole: bool
    ) -> None:
        """Copy checkpoints, which `change` holds, with the named beginnings of logs and all pending writes."""
        keys = {"source": source.row.key, "target": target.row.key}
        await self._executor.apply([change])
        await self._executor.run_all("copy_log", [{**keys, "log": log, "length": end} for log, end in logs.items()])
        if source.row.write_bytes and whole:
            await self._executor.run_all("copy_all_writes", [keys])
        elif source.row.write_bytes:
            names = [{**keys, "namespace": name[0], "checkpoint_id": name[1]} for name in change.checkpoints]
            await self._executor.run_all("copy_writes", names)
        key = {"key": target.row.key}
        ((segments,),) = await self._executor.fetch("segment_bytes", key)
        ((writes,),) = await self._executor.fetch("write_bytes", key)
        target.row.write_bytes = writes
        target.row.stored_bytes += segments + writes

    # Many sessions

    async def sessions_of_tenant(self, tenant: str, after: str, limit: int) -> list[str]:
        """Ids of sessions that have checkpoints, in order."""
        values = {"tenant": tenant, "after": after, "limit": limit}
        return [row[0] for row in await self._executor.fetch("sessions_of_tenant", values)]

    async def sessions_after(self, after: bytes, limit: int) -> list[SweptSession]:
        """Sessions of all tenants by key."""
        rows = await self._executor.fetch("sessions_after", {"after": after, "limit": limit})
        return [
            SweptSession(key, tenant, name, count, _retention(keep_last, max_age), bool(over))
            for key, tenant, name, count, keep_last, max_age, over in rows
        ]

    # Elections

    async def stand(self, office: str, holder: str, term: int) -> bytes | None:
        """Take or keep an office for a time in ns. Gives how far it has come; None where another holds it."""
        values = {"name": office, "holder": holder, "term": term, "position": b""}
        rows = await self._executor.fetch("stand", values)
        return rows[0][0] if rows else None

    async def put_position(self, office: str, holder: str, position: bytes) -> None:
        """Remember how far one has come."""
        await self._executor.run_all("put_position", [{"name": office, "holder": holder, "position": position}])

    async def retire(self, office: str, holder: str) -> None:
        """Leave an office to others."""
        await self._executor.run_all("retire", [{"name": office, "holder": holder}])


class Positional(NamedTuple):
    """A statement whose parameters are numbered, and their names in that order."""

    sql: str
    names: tuple[str, ...]

    def values(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of the parameters."""
        return tuple(values[name] for name in self.names)


def load(**words: str) -> Mapping[str, str]:
    """The statements of `sessions.sql`, with named parameters. words: those in braces."""
    return statements.load(__package__, "sessions.sql", {f"{{{word}}}": text for word, text in words.items()})


def positional(sql: str) -> Positional:
    """A statement as databases want it that know no names."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return Positional(re.sub(r"(?<!:):(\w+)", number, sql), tuple(names))


def _session(now: int, columns: Sequence[Any]) -> Session:
    (labels, token, holder, acquired_at, lease_expire_at, lease_revision) = columns[12:18]
    (tombstone_until, keep_last, max_age, deletion, deleted, origin, latest_id, latest_step) = columns[18:]
    live, buried = (lease_expire_at or 0) > now, (tombstone_until or 0) > now
    row = SessionRow(*columns[:12])
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
        latest_id or "",
        latest_step or 0,
    )


def _name(row: CheckpointRow) -> dict[str, Any]:
    return {"key": row.key, "namespace": row.namespace, "checkpoint_id": row.checkpoint_id}


def _retention(keep_last: int | None, max_age: int | None) -> Retention | None:
    return None if keep_last is None and max_age is None else Retention(keep_last or 0, max_age or 0)


def _values(session: Session) -> dict[str, Any]:
    row = session.row
    return {
        "key": row.key,
        "tenant": row.tenant,
        "session_id": row.session_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "updated_second": row.updated_at // NS_PER_SECOND,
        "revision": row.revision,
        "last_log": row.last_log,
        "checkpoint_count": row.checkpoint_count,
        "stored_bytes": row.stored_bytes,
        "write_bytes": row.write_bytes,
        "ttl": row.ttl,
        "expire_at": row.expire_at,
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
