"""Writes to SQLite, in the connection's thread and within its transaction."""

import sqlite3
from collections.abc import Sequence

from lockstitch_server.core.records import CheckpointChange, SessionChange, SessionRow
from lockstitch_server.storage.columns import checkpoint_values, session_values
from lockstitch_server.storage.sqlite.catalog import SQL


def apply(connection: sqlite3.Connection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction."""
    for change in changes:
        if change.wipe:
            _wipe(connection, change.row.key)
        session = (*session_values(change.row), change.row.key)
        connection.execute(SQL["put_session" if change.is_new else "update_session"], session)
        for checkpoint in change.checkpoints.values():
            _put_checkpoint(connection, change.row, checkpoint)
        _put_segments(connection, change)
        if change.writes:
            connection.executemany(SQL["put_write"], change.writes)


def _wipe(connection: sqlite3.Connection, key: bytes) -> None:
    for name in ("wipe_terms", "wipe_checkpoints", "wipe_segments", "wipe_writes", "wipe_labels"):
        connection.execute(SQL[name], (key,))


def _put_checkpoint(connection: sqlite3.Connection, session: SessionRow, change: CheckpointChange) -> None:
    row = change.row
    name = (row.key, row.namespace, row.checkpoint_id)
    columns = checkpoint_values(session, row)
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
