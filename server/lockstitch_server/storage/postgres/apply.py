"""Writes to Postgres: one statement for each table, whatever the size of the batch."""

from collections.abc import Iterable, Sequence
from typing import Any

from lockstitch_server.core.records import CheckpointChange, SessionChange, SessionRow
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.columns import checkpoint_values, session_values
from lockstitch_server.storage.postgres.catalog import SQL


class LostRace(Exception):
    """Another replica created a session meanwhile: read and plan again."""


async def apply(connection: AnyConnection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction."""
    await _wipe(connection, [change.row.key for change in changes if change.wipe])
    await _put_sessions(connection, changes)
    rows = ((change.row, checkpoint) for change in changes for checkpoint in change.checkpoints.values())
    await _run(connection, "put_checkpoints", [_checkpoint(*row) for row in rows])
    tails = [(change.row.key, log, *row) for change in changes for log, row in change.tails]
    if await _run(connection, "grow_segments", tails) != len(tails):
        raise RuntimeError("the tail of a log is not where its session says")
    segments = ((change.row.key, log, *row) for change in changes for log, row in change.segments)
    await _run(connection, "put_segments", segments)
    await _run(connection, "put_writes", (write for change in changes for write in change.writes))


async def _wipe(connection: AnyConnection, keys: Sequence[bytes]) -> None:
    if keys:
        for name in ("wipe_checkpoints", "wipe_segments", "wipe_writes", "wipe_labels"):
            await connection.execute(SQL[name], keys)


async def _put_sessions(connection: AnyConnection, changes: Sequence[SessionChange]) -> None:
    new = [_session(change.row) for change in changes if change.is_new]
    if await _run(connection, "put_sessions", new) != len(new):
        raise LostRace
    await _run(connection, "update_sessions", (_session(change.row) for change in changes if not change.is_new))


async def _run(connection: AnyConnection, name: str, rows: Iterable[Sequence[Any]]) -> int:
    """Run a statement with the rows' columns as arrays. Returns how many rows it touched."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return 0
    status = await connection.execute(SQL[name], *columns)
    return int(status.rpartition(" ")[2])


def _session(row: SessionRow) -> tuple[Any, ...]:
    return (row.key, *session_values(row))


def _checkpoint(session: SessionRow, change: CheckpointChange) -> tuple[Any, ...]:
    row = change.row
    terms = ",".join(map(str, change.terms)) if change.terms else None
    return (row.key, row.namespace, row.checkpoint_id, *checkpoint_values(session, row), terms)
