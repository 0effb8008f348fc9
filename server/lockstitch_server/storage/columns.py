"""Rows as columns and back, alike on every backend."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lockstitch_server.core import checksum
from lockstitch_server.core.checkpoint import NS_PER_SECOND
from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.core.leases import Holder
from lockstitch_server.core.packing import PackingError, unpack_row
from lockstitch_server.core.parts import Segment, Tail, named_crc
from lockstitch_server.core.reading import ListedCheckpoint
from lockstitch_server.core.records import CheckpointRow, NewRow, SessionChange, SessionRow, SessionSummary

SESSION = (
    "key",
    "tenant",
    "session_id",
    "created_at",
    "updated_at",
    "revision",
    "last_log",
    "checkpoint_count",
    "stored_bytes",
    "write_bytes",
    "ttl",
    "expire_at",
    "content",
)
"""Columns of a session that a `SessionRow` begins with."""
SETTINGS = (
    "labels",
    "lease_token",
    "lease_holder",
    "lease_acquired_at",
    "lease_expire_at",
    "lease_revision",
    "tombstone_until",
    "keep_last",
    "max_age",
    "deletion_revision",
    "deleted_revision",
    "origin",
)
"""Columns of a session that saves leave as they are."""
NO_SETTINGS = ("{}", *[None] * (len(SETTINGS) - 1))


def session_values(row: SessionRow) -> tuple[Any, ...]:
    """The columns of a session but for its key."""
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
        row.content,
        row.checksum(),
    )


def session_row(columns: Iterable[Any]) -> SessionRow:
    """A session out of its columns, the live lease's token and holder, the tombstone's end, checksum and clock."""
    *values, crc, read_at = columns
    row = SessionRow(*values)
    row.read_at = read_at
    row.damaged = row.checksum() != crc
    return row


def settings_checksum(key: bytes, settings: Sequence[Any]) -> int | None:
    """CRC-32 over the columns SETTINGS of a session; None where all are as in a new session."""
    if tuple(settings) == NO_SETTINGS:
        return None
    return checksum.crc("\0".join(map(_text, settings)).encode(), checksum.crc(key))


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def checkpoint_values(session: SessionRow, row: CheckpointRow) -> tuple[Any, ...]:
    """The columns of a checkpoint but for its key and its terms."""
    return (
        tenant_hash(session.tenant),
        row.parent_id,
        row.step,
        row.revision,
        row.record,
        row.crc,
    )


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


def grown_rows(change: SessionChange) -> Iterator[tuple[int, int, bytes, int]]:
    """(log, start, bytes to add, checksum then) of the rows of logs that grow."""
    sizes = {(log, start): size for log, start, size in change.ends}
    for log, (start, data, crc) in change.tails:
        yield log, start, data, named_crc(crc, change.row.key, log, start, sizes[log, start] + len(data))


def new_row(key: bytes, row: NewRow) -> tuple[Any, ...]:
    """The columns of a new row of a log."""
    log, start, size, data, crc = row
    return key, log, start, size, data, named_crc(crc, key, log, start, size)


def _unpacked(data: bytes, size: int) -> bytes:
    """What cannot be unpacked comes out as it is, and then is not what its checksum says."""
    try:
        return unpack_row(data, size)
    except PackingError:
        return data


def session_summary(columns: Iterable[Any]) -> SessionSummary:
    """A row of `listing.sessions`."""
    is_shown, *values = columns
    row = SessionRow(*values[: len(SESSION)])
    holder, latest_id, latest_step, crc, settings_crc, *settings = values[len(SESSION) :]
    row.lease_holder = Holder.of(holder).name
    row.damaged = row.checksum() != crc or settings_checksum(row.key, settings) != settings_crc
    labels = {} if row.damaged else json.loads(settings[0])
    return SessionSummary(row, latest_id or "", latest_step or 0, labels, bool(is_shown) or row.damaged)


def listed_checkpoint(columns: Iterable[Any]) -> ListedCheckpoint:
    """A row of `listing.checkpoints`."""
    *checkpoint, session_id = columns
    return ListedCheckpoint(session_id, CheckpointRow(*checkpoint))
