"""Writes to a distributed database: a statement for each row, all in one bucket.

Citus takes a statement apart that writes several tables, as for plain databases, and commits it in two phases. Single
rows go through to the bucket's node, which commits them at once.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange, SessionRow
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.columns import new_row, saved_session, settings_checksum
from lockstitch_server.storage.executor import LostRace
from lockstitch_server.storage.postgres.apply import checkpoint_rows, grown_segments
from lockstitch_server.storage.postgres.distributed_catalog import by_bucket
from lockstitch_server.storage.postgres.statements import DISTRIBUTED_SQL

Rows = list[tuple[Any, ...]]


async def check(
    connection: AnyConnection,
    bucket: int,
    expected: Sequence[ExpectedVersion],
    changes: Sequence[SessionChange],
    now: int | None,
) -> tuple[bool, int]:
    """Lock sessions of a bucket. Gives whether they and their logs are as expected, and the time: see `apply.py`."""
    keys, revisions, expiries, leases = _columns(expected, 4)
    logs, *ends = _columns([(change.row.key, *end) for change in changes for end in change.ends], 4)
    parameters = (keys, logs, revisions, expiries, leases, *ends[:2], now, ends[2], bucket)
    ((holds, clock),) = await connection.fetch(DISTRIBUTED_SQL["check"], *parameters)
    return holds, clock


async def put(connection: AnyConnection, bucket: int, changes: Sequence[SessionChange]) -> None:
    """Write the changes of sessions of a bucket, which are locked and there."""
    for name, rows in _tables(changes):
        if rows:
            await connection.executemany(DISTRIBUTED_SQL[name], [(*row, bucket) for row in rows])


async def apply(connection: AnyConnection, changes: Sequence[SessionChange]) -> None:
    """Write all changes of a transaction that has locked its sessions. Raises LostRace."""
    for bucket, some in by_bucket(changes, lambda change: change.row.key):
        await _wipe(connection, bucket, [change.row.key for change in some if change.wipe])
        await _begin(connection, bucket, [change.row for change in some if change.is_new])
        if any(change.ends for change in some) and not (await check(connection, bucket, (), some, None))[0]:
            raise RuntimeError("the last row of a log is not where its session says")
        await put(connection, bucket, some)


async def _wipe(connection: AnyConnection, bucket: int, keys: Sequence[bytes]) -> None:
    if keys:
        for key, *settings in await connection.fetch(DISTRIBUTED_SQL["wipe_settings"], keys, bucket):
            checksum = settings_checksum(key, settings)
            await connection.execute(DISTRIBUTED_SQL["put_settings_crc"], key, checksum, bucket)
        for name in ("wipe_checkpoints", "wipe_segments", "wipe_writes"):
            await connection.execute(DISTRIBUTED_SQL[name], keys, bucket)


async def _begin(connection: AnyConnection, bucket: int, rows: Sequence[SessionRow]) -> None:
    for row in rows:
        if not await connection.fetch(DISTRIBUTED_SQL["begin_session"], *saved_session(row), bucket):
            raise LostRace


def _tables(changes: Sequence[SessionChange]) -> Iterator[tuple[str, Rows]]:
    """Statements, with the rows of each."""
    yield "put_session", [saved_session(change.row) for change in changes if not change.is_new]
    yield "put_checkpoint", list(chain.from_iterable(map(checkpoint_rows, changes)))
    yield "grow_segment", list(chain.from_iterable(map(grown_segments, changes)))
    yield "put_segment", [new_row(change.row.key, row) for change in changes for row in change.segments]
    yield "put_write", [write for change in changes for write in change.writes]


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count
