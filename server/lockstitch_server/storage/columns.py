"""Rows as columns and back, alike on every backend."""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.checkpoint import NS_PER_SECOND
from lockstitch_server.core.format.compression import PackingError, unpack_row
from lockstitch_server.core.format.parts import Segment, Tail, named_crc
from lockstitch_server.core.format.rows import CheckpointRow, NewRow, SessionChange, SessionRow
from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.storage.tables import CHECKPOINT, SESSION, SETTINGS

NO_SETTINGS = ("{}", *[None] * (len(SETTINGS) - 1))

_stored_session = attrgetter(*SESSION)
_stored_checkpoint = attrgetter(*CHECKPOINT)


def saved_session(row: SessionRow) -> tuple[Any, ...]:
    """The columns SAVED_SESSION of a session."""
    return (*_stored_session(row), row.updated_at // NS_PER_SECOND, row.checksum())


def session_row(columns: Iterable[Any]) -> SessionRow:
    """A session out of its columns SESSION, the live lease's token and holder, the tombstone's end, crc and clock."""
    *values, crc, read_at = columns
    row = SessionRow(*values)
    row.read_at = read_at
    row.damaged = row.checksum() != crc
    return row


def settings_checksum(key: bytes, settings: Sequence[Any]) -> int | None:
    """CRC-32 over the columns SETTINGS of a session; None where all are as in a new session.

    What is NULL at the end does not count: a column that a later release adds leaves the checksums of rows as they are.
    """
    if tuple(settings) == NO_SETTINGS:
        return None
    values = list(settings)
    while values and values[-1] is None:
        values.pop()
    return checksum.crc("\0".join(map(_text, values)).encode(), checksum.crc(key))


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def saved_checkpoint(session: SessionRow, row: CheckpointRow) -> tuple[Any, ...]:
    """The columns SAVED_CHECKPOINT of a checkpoint."""
    return (*_stored_checkpoint(row), tenant_hash(session.tenant))


def segments(key: bytes, log: int, rows: Iterable[Sequence[Any]]) -> list[Segment]:
    """Rows of a log, out of (start, size, data, crc)."""
    return [
        Segment(start, data if len(data) == size else _unpacked(data, size), named_crc(crc, key, log, start, size))
        for start, size, data, crc in rows
    ]


def tail(key: bytes, log: int, columns: Sequence[Any]) -> Tail:
    """The last row of a log, out of (start, size, crc)."""
    start, size, crc = columns
    return Tail(start, size, named_crc(crc, key, log, start, size))


def grown_rows(change: SessionChange) -> Iterator[tuple[int, int, bytes, int, int]]:
    """(log, start, bytes to add, checksum then, size before) of the rows of logs that grow."""
    sizes = {(log, start): size for log, start, size in change.ends}
    for log, (start, data, crc) in change.tails:
        size = sizes[log, start]
        yield log, start, data, named_crc(crc, change.row.key, log, start, size + len(data)), size


def sealed_rows(change: SessionChange) -> Iterator[tuple[Any, ...]]:
    """The columns SEGMENT of rows that are put in place of smaller ones, and the size before."""
    sizes = {(log, start): size for log, start, size in change.ends}
    for row in change.seals:
        yield *new_row(change.row.key, row), sizes[row.log, row.start]


def new_row(key: bytes, row: NewRow) -> tuple[Any, ...]:
    """The columns SEGMENT of a new row of a log."""
    log, start, size, data, crc = row
    return key, log, start, size, data, named_crc(crc, key, log, start, size)


def _unpacked(data: bytes, size: int) -> bytes:
    """What cannot be unpacked comes out as it is, and then is not what its checksum says."""
    try:
        return unpack_row(data, size)
    except PackingError:
        return data
