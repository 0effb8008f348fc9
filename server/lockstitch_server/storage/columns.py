"""Rows as columns and back, alike on every backend."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from lockstitch_server.core.checkpoint import NS_PER_SECOND
from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.core.leases import Holder
from lockstitch_server.core.packing import PackingError, unpack_row
from lockstitch_server.core.parts import Segment
from lockstitch_server.core.reading import ListedCheckpoint
from lockstitch_server.core.records import CheckpointRow, SessionRow, SessionSummary


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
    )


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


def segments(rows: Iterable[Sequence[Any]]) -> list[Segment]:
    """Rows of logs, out of (start, size, data, crc)."""
    return [
        Segment(start, data if len(data) == size else _unpacked(data, size), crc) for start, size, data, crc in rows
    ]


def _unpacked(data: bytes, size: int) -> bytes:
    """What cannot be unpacked comes out as it is, and then is not what its checksum says."""
    try:
        return unpack_row(data, size)
    except PackingError:
        return data


def session_summary(columns: Iterable[Any]) -> SessionSummary:
    """A row of `listing.sessions`."""
    *session, holder, latest_id, latest_step, labels = columns
    row = SessionRow(*session)
    row.lease_holder = Holder.of(holder).name
    return SessionSummary(row, latest_id or "", latest_step or 0, json.loads(labels))


def listed_checkpoint(columns: Iterable[Any]) -> ListedCheckpoint:
    """A row of `listing.checkpoints`."""
    *checkpoint, session_id = columns
    return ListedCheckpoint(session_id, CheckpointRow(*checkpoint))
