"""Writes to SQLite, in the connection's thread and within its transaction."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.core.records import CheckpointChange, SessionChange, SessionRow
from lockstitch_server.storage.listing import NS_PER_SECOND
from lockstitch_server.storage.sqlite.catalog import SQL


def apply(connection: sqlite3.Connection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction."""
    for change in changes:
        if change.wipe:
            _wipe(connection, change.row.key)
        connection.execute(SQL["put_session" if change.is_new else "update_session"], _session(change.row))
        for checkpoint in change.checkpoints.values():
            _put_checkpoint(connection, change.row, checkpoint)
        _put_segments(connection, change)
        if change.writes:
            connection.executemany(SQL["put_write"], change.writes)


def _wipe(connection: sqlite3.Connection, key: bytes) -> None:
    for name in ("wipe_terms", "wipe_checkpoints", "wipe_segments", "wipe_writes", "wipe_labels"):
        connection.execute(SQL[name], (key,))


def _session(row: SessionRow) -> tuple[Any, ...]:
    return (
        row.tenant,
        row.session_id,
        row.created_at,
        row.updated_at,
        row.updated_at // NS_PER_SECOND,
        row.revision,
        row.last_log,
        row.checkpoint_count,
        row.stored_bytes,
        row.write_bytes,
        row.ttl,
        row.expire_at,
        row.key,
    )


def _put_checkpoint(connection: sqlite3.Connection, session: SessionRow, change: CheckpointChange) -> None:
    row = change.row
    name = (row.key, row.namespace, row.checkpoint_id)
    columns = (tenant_hash(session.tenant), row.parent_id, row.step, row.revision, row.saved_at, row.record, row.crc)
    if change.is_new:
        number = connection.execute(SQL["put_checkpoint"], (*columns, *name)).lastrowid
    else:
        (number,) = connection.execute(SQL["replace_checkpoint"], (*columns, *name)).fetchone()
        connection.execute(SQL["delete_terms"], (number,))
    if change.terms:
        connection.executemany(SQL["put_term"], [(term, number) for term in change.terms])


def _put_segments(connection: sqlite3.Connection, change: SessionChange) -> None:
    key = change.row.key
    for log, (start, data, crc) in change.tails:
        grown = connection.execute(SQL["grow_segment"], (data, crc, key, log, start)).rowcount
        if grown != 1:
            raise RuntimeError("the tail of a log is not where its session says")
    if change.segments:
        rows = [(data, crc, key, log, start) for log, (start, data, crc) in change.segments]
        connection.executemany(SQL["put_segment"], rows)
