"""Writes to SQLite, in the connection's thread and within its transaction.

Rows go in by many to a statement: Python hands the interpreter to other threads, and has to wait to get it back, each
time that SQLite runs a statement.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.rows import (
    CheckpointChange,
    CheckpointRow,
    ExpectedVersion,
    SessionChange,
    SessionRow,
)
from lockstitch_server.core.format.search_terms import stored_terms
from lockstitch_server.storage.columns import (
    grown_rows,
    new_row,
    saved_checkpoint,
    saved_session,
    sealed_rows,
    settings_checksum,
)
from lockstitch_server.storage.sqlite.catalog import SQL
from lockstitch_server.storage.tables import SAVED_CHECKPOINT

ROWS = (64, 32, 16, 8, 4, 2, 1)
"""To a statement: few different ones, so that SQLite keeps them all prepared."""


ALL = -1
"""As a limit: no limit."""


class TailMoved(RuntimeError):
    """The last row of a log is not as the plan expects."""

    def __init__(self) -> None:
        super().__init__("the last row of a log is not where its session says")


def holds(connection: sqlite3.Connection, basis: Sequence[ExpectedVersion]) -> bool:
    """Whether all sessions are as they were."""
    counts: Iterator[int] = (cursor.fetchone()[0] for cursor in _execute(connection, "count_unchanged", basis))
    return sum(counts) == len(basis)


def apply(connection: sqlite3.Connection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction. Raises TailMoved."""
    for change in changes:
        if change.wipe:
            _wipe(connection, change.row.tenant, change.row.key)
    _run(connection, "put_sessions", [saved_session(change.row) for change in changes])
    _put_checkpoints(connection, changes)
    _put_segments(connection, changes)
    _run(connection, "put_writes", [write for change in changes for write in change.writes])


def _wipe(connection: sqlite3.Connection, tenant: str, key: bytes) -> None:
    delete_first_terms(connection, tenant, key, ALL)
    for settings in connection.execute(SQL["wipe_settings"], (key,)).fetchall():
        connection.execute(SQL["put_settings_crc"], (settings_checksum(key, settings), key))
    for name in ("wipe_checkpoints", "wipe_segments", "wipe_writes"):
        connection.execute(SQL[name], (key,))


def _put_checkpoints(connection: sqlite3.Connection, changes: Sequence[SessionChange]) -> None:
    new: list[tuple[SessionRow, CheckpointChange]] = []
    replaced: list[tuple[SessionRow, CheckpointChange]] = []
    for session in changes:
        for change in session.checkpoints.values():
            (new if change.is_new else replaced).append((session.row, change))
    numbers = _insert_checkpoints(connection, [saved_checkpoint(session, change.row) for session, change in new])
    numbers += [_replace_checkpoint(connection, session, change.row) for session, change in replaced]
    changed = zip((*new, *replaced), numbers, strict=True)
    _run(connection, "put_terms", [(term, number) for (_, change), number in changed for term in change.terms])


def _insert_checkpoints(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Insert rows. Gives their numbers: SQLite takes the ones that follow the greatest number that is there."""
    numbers: list[int] = []
    for cursor in _execute(connection, "put_checkpoints", rows):
        assert cursor.lastrowid is not None
        numbers += range(cursor.lastrowid - cursor.rowcount + 1, cursor.lastrowid + 1)
    return numbers


def _replace_checkpoint(connection: sqlite3.Connection, session: SessionRow, row: CheckpointRow) -> int:
    number: int
    name = (row.key, row.namespace, row.checkpoint_id)
    number, *old = connection.execute(SQL["get_numbered_checkpoint"], name).fetchone()
    _delete_terms(connection, session.tenant, number, CheckpointRow(*old))
    values = zip(SAVED_CHECKPOINT, saved_checkpoint(session, row), strict=True)
    connection.execute(SQL["replace_checkpoint"], dict(values))
    return number


def delete_terms(connection: sqlite3.Connection, tenant: str, name: tuple[bytes, str, str]) -> None:
    """Take a checkpoint out of what it is searched by."""
    number, *row = connection.execute(SQL["get_numbered_checkpoint"], name).fetchone()
    _delete_terms(connection, tenant, number, CheckpointRow(*row))


def delete_first_terms(connection: sqlite3.Connection, tenant: str, key: bytes, count: int) -> None:
    """Take the first checkpoints of a session, by namespace and id, out of what they are searched by."""
    for number, *columns in connection.execute(SQL["get_first_checkpoints"], (key, count)).fetchall():
        _delete_terms(connection, tenant, number, CheckpointRow(*columns))


def _delete_terms(connection: sqlite3.Connection, tenant: str, number: int, row: CheckpointRow) -> None:
    try:
        terms = stored_terms(tenant, row)
    except Failure:  # damaged: what it was found by is not known, and all terms have to be looked through
        connection.execute(SQL["delete_terms"], (number,))
        return
    connection.executemany(SQL["delete_term"], [(term, number) for term in terms])


def _put_segments(connection: sqlite3.Connection, changes: Sequence[SessionChange]) -> None:
    tails = [(change.row.key, *row) for change in changes if change.tails for row in grown_rows(change)]
    if _run(connection, "grow_segments", tails) != len(tails):
        raise TailMoved
    seals = [row for change in changes if change.seals for row in sealed_rows(change)]
    if _run(connection, "seal_segments", seals) != len(seals):
        raise TailMoved
    _run(connection, "put_segments", [new_row(change.row.key, row) for change in changes for row in change.segments])


def _run(connection: sqlite3.Connection, name: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement for all rows. Returns how many it touched."""
    return sum(cursor.rowcount for cursor in _execute(connection, name, rows))


def _execute(connection: sqlite3.Connection, name: str, rows: Sequence[Sequence[Any]]) -> Iterator[sqlite3.Cursor]:
    done = 0
    for size in ROWS:
        while len(rows) - done >= size:
            values = list(chain.from_iterable(rows[done : done + size]))
            yield connection.execute(_statement(name, size), values)
            done += size


@lru_cache
def _statement(name: str, rows: int) -> str:
    """A statement of one row of values, made to take several."""
    return re.sub(r"VALUES (\([?, ]+\))", lambda found: "VALUES " + ", ".join([found[1]] * rows), SQL[name])
