"""Writes to SQLite, in the connection's thread and within its transaction."""

import sqlite3
from collections.abc import Sequence

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.records import CheckpointChange, CheckpointRow, SessionChange, SessionRow
from lockstitch_server.core.terms import stored_terms
from lockstitch_server.storage.columns import checkpoint_values, session_values
from lockstitch_server.storage.sqlite.catalog import SQL


def apply(connection: sqlite3.Connection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction."""
    for change in changes:
        if change.wipe:
            _wipe(connection, change.row.tenant, change.row.key)
        session = (*session_values(change.row), change.row.key)
        connection.execute(SQL["put_session" if change.is_new else "update_session"], session)
        for checkpoint in change.checkpoints.values():
            _put_checkpoint(connection, change.row, checkpoint)
        _put_segments(connection, change)
        if change.writes:
            connection.executemany(SQL["put_write"], change.writes)


def _wipe(connection: sqlite3.Connection, tenant: str, key: bytes) -> None:
    for number, *columns in connection.execute(SQL["get_all_checkpoints"], (key,)).fetchall():
        _delete_terms(connection, tenant, number, CheckpointRow(*columns))
    for name in ("wipe_checkpoints", "wipe_segments", "wipe_writes", "wipe_labels"):
        connection.execute(SQL[name], (key,))


def _put_checkpoint(connection: sqlite3.Connection, session: SessionRow, change: CheckpointChange) -> None:
    row = change.row
    name = (row.key, row.namespace, row.checkpoint_id)
    columns = checkpoint_values(session, row)
    if change.is_new:
        number = connection.execute(SQL["put_checkpoint"], (*columns, *name)).lastrowid
    else:
        number, *old = connection.execute(SQL["get_numbered_checkpoint"], name).fetchone()
        _delete_terms(connection, session.tenant, number, CheckpointRow(*old))
        connection.execute(SQL["replace_checkpoint"], (*columns, *name))
    if change.terms:
        connection.executemany(SQL["put_term"], [(term, number) for term in change.terms])


def _delete_terms(connection: sqlite3.Connection, tenant: str, number: int, row: CheckpointRow) -> None:
    try:
        terms = stored_terms(tenant, row)
    except Failure:  # damaged: what it was found by is not known, and all terms have to be looked through
        connection.execute(SQL["delete_terms"], (number,))
        return
    connection.executemany(SQL["delete_term"], [(term, number) for term in terms])


def _put_segments(connection: sqlite3.Connection, change: SessionChange) -> None:
    key = change.row.key
    for log, (start, data, crc) in change.tails:
        grown = connection.execute(SQL["grow_segment"], (data, crc, key, log, start)).rowcount
        if grown != 1:
            raise RuntimeError("the tail of a log is not where its session says")
    if change.segments:
        rows = [(data, crc, key, log, start) for log, (start, data, crc) in change.segments]
        connection.executemany(SQL["put_segment"], rows)
