"""Writes to Postgres: one statement for all of a batch, with an array of rows for each table."""

from collections.abc import Iterator, Sequence
from typing import Any

from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange, SessionRow
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.columns import grown_rows, new_row, saved_checkpoint, saved_session, settings_checksum
from lockstitch_server.storage.executor import LostRace
from lockstitch_server.storage.postgres.statements import SQL

Rows = Sequence[tuple[Any, ...]]


async def apply_if_unchanged(
    connection: AnyConnection,
    expected: Sequence[ExpectedVersion],
    changes: Sequence[SessionChange],
    now: int | None,
    writer: str | None = None,
    number: int | None = None,
) -> tuple[bool, int]:
    """Write the changes of sessions that exist, if they are as expected; gives whether they were, and the time.

    now: the time that the changes were planned for, to be compared with the database's; None: it is the database's.
    writer, number: the mark of the transaction; None: it has one already.
    """
    ((holds, clock),) = await connection.fetch(SQL["apply"], expected, *_tables(changes), now, writer, number)
    return holds, clock


async def apply(connection: AnyConnection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction that has locked its sessions. Raises LostRace."""
    await _wipe(connection, [change.row.key for change in changes if change.wipe])
    await _put_new_sessions(connection, [change.row for change in changes if change.is_new])
    if changes and not (await apply_if_unchanged(connection, (), changes, None))[0]:
        raise RuntimeError("the last row of a log is not where its session says")


async def _wipe(connection: AnyConnection, keys: Sequence[bytes]) -> None:
    if keys:
        for key, *settings in await connection.fetch(SQL["wipe_settings"], keys):
            await connection.execute(SQL["put_settings_crc"], key, settings_checksum(key, settings))
        for name in ("wipe_checkpoints", "wipe_segments", "wipe_writes"):
            await connection.execute(SQL[name], keys)


async def _put_new_sessions(connection: AnyConnection, rows: Sequence[SessionRow]) -> None:
    if rows:
        status = await connection.execute(SQL["put_sessions"], [saved_session(row) for row in rows])
        if int(status.rpartition(" ")[2]) != len(rows):
            raise LostRace


def _tables(changes: Sequence[SessionChange]) -> Iterator[Rows]:
    """The statement's parameters 2 to 7: ends of logs, and rows of each table."""
    yield [(change.row.key, *end) for change in changes for end in change.ends]
    yield [saved_session(change.row) for change in changes if not change.is_new]
    yield [row for change in changes for row in checkpoint_rows(change)]
    yield [row for change in changes for row in grown_segments(change)]
    yield [new_row(change.row.key, row) for change in changes for row in change.segments]
    yield [write for change in changes for write in change.writes]


def checkpoint_rows(change: SessionChange) -> Iterator[tuple[Any, ...]]:
    """The columns SEARCHED_CHECKPOINT of checkpoints."""
    for checkpoint in change.checkpoints.values():
        yield (*saved_checkpoint(change.row, checkpoint.row), checkpoint.terms or None)


def grown_segments(change: SessionChange) -> Iterator[tuple[Any, ...]]:
    """The columns SEGMENT of rows of logs that grow, with what is added to them."""
    for log, start, data, crc, _ in grown_rows(change):
        yield change.row.key, log, start, len(data), data, crc
