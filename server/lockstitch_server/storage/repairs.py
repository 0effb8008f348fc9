"""Puts right what damage has left wrong in a database, over a `Keeper`, within its transaction."""

from collections.abc import Sequence
from typing import Any

from lockstitch_server.core.ids import session_key
from lockstitch_server.core.records import SessionRow
from lockstitch_server.core.session import Session
from lockstitch_server.storage.columns import NO_SETTINGS, settings_checksum
from lockstitch_server.storage.keeper import Keeper, session_of, split


async def recount(keeper: Keeper, tenant: str, session_id: str) -> str:
    """Count what a session holds, and write its row again. Settings that fail their checksum are dropped."""
    key = session_key(tenant, session_id)
    await keeper.executor.fetch("lock", {"key": key})
    ((now, *columns),) = await keeper.executor.fetch("details", {"key": key})
    if columns[0] is None:
        return "is not there any more"
    session = _sound(now, columns, SessionRow(key, tenant, session_id, now, now))
    checkpoints, logs = await keeper.all_checkpoints(session), await keeper.logs(session)
    writes = sum(len(write.data) for write in await keeper.all_writes(session))
    row = session.row
    row.checkpoint_count, row.write_bytes = len(checkpoints), writes
    row.stored_bytes = sum(len(each.record) for each in checkpoints) + sum(logs.values()) + writes
    row.last_log = max([row.last_log, *logs])
    row.revision = max([row.revision, *(each.revision for each in checkpoints)])
    row.content = await keeper.content_of(checkpoints)
    session.changed()
    await keeper.put(session)
    return f"is counted again: {len(checkpoints)} checkpoints, {row.stored_bytes} bytes"


def _sound(now: int, columns: Sequence[Any], blank: SessionRow) -> Session:
    """What of a session's row passes its checksums."""
    row, settings, (*_, crc, settings_crc) = split(columns)
    if settings_checksum(row.key, settings) != settings_crc:
        settings = NO_SETTINGS
    return session_of(now, row if row.checksum() == crc else blank, settings)


async def move(keeper: Keeper, key: bytes, tenant: str, session_id: str) -> str:
    """Put a session's row, which stands under another key, back under that of its name."""
    await keeper.executor.run_all("move_session", [{"key": key, "target": session_key(tenant, session_id)}])
    return "is back under the key of its name"


async def put_terms(keeper: Keeper, tenant: str, session_id: str) -> str:
    """Write what a session's checkpoints are searched by."""
    session = await keeper.lock(tenant, session_id)
    rows = [row for row in await keeper.all_checkpoints(session) if row.intact]
    await keeper.executor.put_terms(tenant, rows)
    return f"has the search terms of its {len(rows)} checkpoints again"


async def delete_strays(keeper: Keeper, key: bytes) -> str:
    """Delete all rows under a key that no session has.

    Raises LostRace where a save begins the session meanwhile. It may have put some of its rows in place of these.
    """
    if await keeper.executor.fetch("session_of_key", {"key": key}):
        return "belong to a session by now"
    # Saves to this key wait for the row of its session, so that none of them loses what it has written.
    await keeper.put(Session(SessionRow(key, "", key.hex(), 0, 0), 0, is_new=True))
    for name in ("delete_all_checkpoints", "delete_all_segments", "delete_all_writes"):
        await keeper.executor.run_all(name, [{"key": key}])
    await keeper.executor.run_all("delete_session", [{"key": key}])
    await keeper.executor.forget_stray_terms()
    return "are deleted"
