"""Writes to Postgres: one statement for all of a batch."""

from collections.abc import Iterator, Sequence
from typing import Any

from lockstitch_server.core.records import Basis, CheckpointChange, SessionChange, SessionRow
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.columns import (
    checkpoint_values,
    grown_rows,
    new_row,
    session_values,
    settings_checksum,
)
from lockstitch_server.storage.keeper import LostRace
from lockstitch_server.storage.postgres.catalog import SQL

Rows = list[tuple[Any, ...]]


async def commit(
    connection: AnyConnection, basis: Sequence[Basis], changes: Sequence[SessionChange], now: int | None
) -> tuple[bool, int]:
    """Write the changes of sessions that exist, if they are as the basis says; gives whether they were, and the time.

    now: the time that the changes were planned for, to be compared with the database's; None: it is the database's.
    """
    columns = [column for rows, width in _tables(basis, changes) for column in _columns(rows, width)]
    contents = [change.row.content for change in changes if not change.is_new]
    ((holds, clock),) = await connection.fetch(SQL["apply"], *columns, now, contents)
    return holds, clock


async def apply(connection: AnyConnection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction that has locked its sessions. Raises LostRace."""
    await _wipe(connection, [change.row.key for change in changes if change.wipe])
    await _put_new_sessions(connection, [change.row for change in changes if change.is_new])
    if changes and not (await commit(connection, (), changes, None))[0]:
        raise RuntimeError("the tail of a log is not where its session says")


async def _wipe(connection: AnyConnection, keys: Sequence[bytes]) -> None:
    if keys:
        for key, *settings in await connection.fetch(SQL["wipe_settings"], keys):
            await connection.execute(SQL["put_settings_crc"], key, settings_checksum(key, settings))
        for name in ("wipe_checkpoints", "wipe_segments", "wipe_writes"):
            await connection.execute(SQL[name], keys)


async def _put_new_sessions(connection: AnyConnection, rows: Sequence[SessionRow]) -> None:
    if rows:
        columns = zip(*((row.key, *session_values(row)) for row in rows), strict=True)
        status = await connection.execute(SQL["put_sessions"], *columns)
        if int(status.rpartition(" ")[2]) != len(rows):
            raise LostRace


def _tables(basis: Sequence[Basis], changes: Sequence[SessionChange]) -> Iterator[tuple[Sequence[Sequence[Any]], int]]:
    """Rows, and how many columns they have, in the order of the statement's parameters."""
    yield [row[:3] for row in basis], 3
    yield [(change.row.key, *tail) for change in changes for tail in change.ends], 4
    yield [_session(change.row) for change in changes if not change.is_new], 11
    rows = ((change.row, checkpoint) for change in changes for checkpoint in change.checkpoints.values())
    yield [_checkpoint(*row) for row in rows], 10
    yield [row for change in changes for row in _segments(change)], 6
    yield [write for change in changes for write in change.writes], 9
    yield [(row.lease,) for row in basis], 1
    yield (
        [(change.row.tenant, change.row.session_id, change.row.checksum()) for change in changes if not change.is_new],
        3,
    )


def _columns(rows: Sequence[Sequence[Any]], width: int) -> Iterator[Sequence[Any]]:
    return zip(*rows, strict=True) if rows else iter([()] * width)


def _segments(change: SessionChange) -> Iterator[tuple[Any, ...]]:
    key = change.row.key
    for log, start, data, crc in grown_rows(change):
        yield key, log, start, len(data), data, crc
    for row in change.segments:
        yield new_row(key, row)


def _session(row: SessionRow) -> tuple[Any, ...]:
    _, _, *changing, _, _ = session_values(row)
    return (row.key, *changing)


def _checkpoint(session: SessionRow, change: CheckpointChange) -> tuple[Any, ...]:
    row = change.row
    terms = ",".join(map(str, change.terms)) if change.terms else None
    return (row.key, row.namespace, row.checkpoint_id, *checkpoint_values(session, row), terms)
