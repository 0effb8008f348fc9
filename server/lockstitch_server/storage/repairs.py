"""Puts right what damage has left wrong in a database, over a `SessionRepository`, within its transaction."""

from dataclasses import replace

from lockstitch_server.core.format.rows import SessionRow
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.session import Session
from lockstitch_server.storage.columns import NO_SETTINGS, saved_session, settings_checksum
from lockstitch_server.storage.executor import LostRace
from lockstitch_server.storage.session_repository import SessionRepository, row_and_settings, session_of
from lockstitch_server.storage.tables import SAVED_SESSION, SETTINGS, Row


async def recount(repository: SessionRepository, tenant: str, session_id: str) -> str:
    """Count what a session holds, and write its row again. Settings that fail their checksum are dropped."""
    key = session_key(tenant, session_id)
    await repository.lock_row(key)
    columns = await repository.details(key)
    if columns["key"] is None:
        return "is not there any more"
    session = _sound(columns, SessionRow(key, tenant, session_id, columns["now"], columns["now"]))
    checkpoints, logs = await repository.all_checkpoints(session), await repository.logs(session)
    writes = sum(len(write.data) for write in await repository.all_writes(session))
    row = session.row
    row.checkpoint_count, row.write_bytes = len(checkpoints), writes
    row.stored_bytes = sum(len(each.record) for each in checkpoints) + sum(logs.values()) + writes
    row.last_log = max([row.last_log, *logs])
    row.revision = max([row.revision, *(each.revision for each in checkpoints)])
    row.content = await repository.content_of(checkpoints)
    session.changed()
    await repository.put(session)
    return f"is counted again: {len(checkpoints)} checkpoints, {row.stored_bytes} bytes"


def _sound(columns: Row, blank: SessionRow) -> Session:
    """What of a session's row passes its checksums."""
    row, settings = row_and_settings(columns)
    if settings_checksum(row.key, settings) != columns["settings_crc"]:
        settings = NO_SETTINGS
    return session_of(columns["now"], row if row.checksum() == columns["crc"] else blank, settings)


async def move(repository: SessionRepository, key: bytes, tenant: str, session_id: str) -> str:
    """Put a session's row, which stands under another key, back under that of its name. Raises LostRace."""
    target = session_key(tenant, session_id)
    found = await repository.executor.fetch("session_of_key", {"key": key})
    if not found:
        return "is not there any more"
    if await repository.executor.fetch("session_of_key", {"key": target}):
        return "stays: there is a session under the key of its name"
    row, settings = row_and_settings(found[0])
    moved = zip(SAVED_SESSION, saved_session(replace(row, key=target)), strict=True)
    stored = zip((*SETTINGS, "settings_crc"), (*settings, found[0]["settings_crc"]), strict=True)
    values = {**dict(moved), **dict(stored)}
    await repository.executor.run_all("delete_session", [{"key": key}])
    if not await repository.executor.fetch("insert_session", values):
        raise LostRace
    await repository.executor.run_all("update_session", [values])
    return "is back under the key of its name"


async def put_in_place(repository: SessionRepository, table: str, key: bytes) -> str:
    """Put rows of a distributed database whose first byte is not their bucket's back under this key."""
    await repository.lock_row(key)
    back, replaced = await repository.executor.put_in_place(table, key)
    return f"are back: {back}" + (f"; deleted, as later rows have replaced them: {replaced}" if replaced else "")


async def put_terms(repository: SessionRepository, tenant: str, session_id: str) -> str:
    """Write what a session's checkpoints are searched by."""
    session = await repository.lock(tenant, session_id)
    rows = [row for row in await repository.all_checkpoints(session) if row.intact]
    await repository.executor.put_terms(tenant, rows)
    return f"has the search terms of its {len(rows)} checkpoints again"


async def delete_strays(repository: SessionRepository, key: bytes) -> str:
    """Delete all rows under a key that no session has.

    Raises LostRace where a save begins the session meanwhile. It may have put some of its rows in place of these.
    """
    if await repository.executor.fetch("session_of_key", {"key": key}):
        return "belong to a session by now"
    if not await repository.has_content(Session(SessionRow(key, "", "", 0, 0), 0)):
        return "are not there any more"
    # Saves to this key wait for the row of its session, so that none of them loses what it has written.
    await repository.put(Session(SessionRow(key, "", key.hex(), 0, 0), 0, is_new=True))
    for name in ("delete_all_checkpoints", "delete_all_segments", "delete_all_writes"):
        await repository.executor.run_all(name, [{"key": key}])
    await repository.executor.run_all("delete_session", [{"key": key}])
    await repository.executor.forget_stray_terms()
    return "are deleted"
