"""Sessions of many tenants, or of one, in the order of keys or ids."""

from dataclasses import replace
from typing import NamedTuple

from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.storage.session_repository import SessionRepository, retention_of, row_and_settings
from lockstitch_server.storage.tables import Row


class SweptSession(NamedTuple):
    """What a sweep needs to know of a session."""

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
    stored_bytes: int = 0
    revision: int = 0
    read_at: int = 0
    """When the row was read, by the database's clock, in ns."""


async def ids_of_tenant(repository: SessionRepository, tenant: str, after: str, limit: int) -> list[str]:
    """Ids of sessions that have checkpoints, in order."""
    values = {"tenant": tenant, "after": after, "limit": limit}
    return [row[0] for row in await repository.executor.fetch("ids_of_tenant", values)]


async def sessions_after(repository: SessionRepository, after: bytes, limit: int) -> list[SweptSession]:
    """Sessions of all tenants by key."""
    rows = await repository.executor.fetch("sessions_after", {"after": after, "limit": limit})
    return [_swept(row) for row in rows]


async def keys_after(repository: SessionRepository, after: bytes, limit: int) -> list[bytes]:
    """Keys of sessions of all tenants, in order, out of the index alone."""
    return [row[0] for row in await repository.executor.fetch("keys_after", {"after": after, "limit": limit})]


async def session_at(repository: SessionRepository, key: bytes) -> SweptSession:
    """The session under a key that `keys_after` gave."""
    rows = await repository.executor.fetch("session_of_key", {"key": key})
    return _swept(rows[0]) if rows else SweptSession(key, "", "", 0, None, over=False, damaged=True)


async def orphan_keys(repository: SessionRepository) -> list[bytes]:
    """Keys under which there are rows, and no session. Goes through the whole store."""
    return [row[0] for row in await repository.executor.fetch("orphan_keys", {})]


def _swept(columns: Row) -> SweptSession:
    row, _ = row_and_settings(columns)
    named = replace(row, key=session_key(row.tenant, row.session_id))
    misplaced = named.key != row.key and named.checksum() == columns["crc"]
    retention = None if row.damaged else retention_of(columns["keep_last"], columns["max_age"])
    names = (row.key, row.tenant, row.session_id)
    over = bool(columns["is_over"])
    is_damaged, size, now = row.damaged or misplaced, row.stored_bytes, columns["now"]
    return SweptSession(*names, row.checkpoint_count, retention, over, is_damaged, misplaced, size, row.revision, now)
