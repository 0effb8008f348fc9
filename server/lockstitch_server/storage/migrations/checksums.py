# ruff: noqa: S608 - the SQL is put together of constants
"""Gives rows of version 0002 in SQLite the checksums of version 0003. Rows that are damaged stay so."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from lockstitch_server.core import checksum
from lockstitch_server.core.parts import named_crc
from lockstitch_server.core.pending import MARK, write_checksum
from lockstitch_server.core.records import SessionRow, WriteRow
from lockstitch_server.storage.columns import SETTINGS, settings_checksum

PAGE = 10_000
"""Rows that are changed at once."""
SESSION = (
    "key, tenant, session_id, created_at, updated_at, revision, last_log, checkpoint_count, stored_bytes, "
    "write_bytes, ttl, expire_at"
)


class _Table(NamedTuple):
    name: str
    key: tuple[str, ...]
    columns: str
    """Of a row, those of the key first."""
    checksums: tuple[str, ...]
    make: Callable[[Sequence[Any]], tuple[int | None, ...]]


def put_checksums(connection: Any) -> None:
    """Change all rows behind a SQLAlchemy connection."""
    from sqlalchemy import text

    for table in TABLES:
        names = [*table.checksums, *table.key]
        assignments = ", ".join(f"{name} = :{name}" for name in table.checksums)
        condition = " AND ".join(f"{name} = :{name}" for name in table.key)
        update = text(f"UPDATE {table.name} SET {assignments} WHERE {condition}")
        rows = connection.execute(text(f"SELECT {table.columns} FROM {table.name}")).fetchall()
        for some in _pages(rows):
            values = [(*table.make(row), *row[: len(table.key)]) for row in some]
            connection.execute(update, [dict(zip(names, each, strict=True)) for each in values])


def _pages(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[start : start + PAGE] for start in range(0, len(rows), PAGE))


def _session(row: Sequence[Any]) -> tuple[int | None, ...]:
    session = SessionRow(*row[:12])
    return session.checksum(), settings_checksum(session.key, row[12:])


def _segment(row: Sequence[Any]) -> tuple[int, ...]:
    key, log, start, size, crc = row
    return (named_crc(crc, key, log, start, size),)


def _write(columns: Sequence[Any]) -> tuple[int, ...]:
    row = WriteRow(*columns)
    if row.data.startswith(MARK):
        return (row.crc ^ checksum.crc(row.key),)
    # Its checksum was that of the message alone.
    return (write_checksum(row) ^ checksum.crc(row.data) ^ row.crc,)


TABLES = (
    _Table("sessions", ("key",), f"{SESSION}, {', '.join(SETTINGS)}", ("crc", "settings_crc"), _session),
    _Table("segments", ("key", "log", "start"), "key, log, start, size, crc", ("crc",), _segment),
    _Table(
        "writes",
        ("key", "namespace", "checkpoint_id", "task_id", "task_index"),
        "key, namespace, checkpoint_id, task_id, task_index, task_path, channel, data, crc",
        ("crc",),
        _write,
    ),
)
