"""Rows as columns and back, alike on every backend."""

import json
from collections.abc import Iterable
from typing import Any

from lockstitch_server.core.checkpoint import NS_PER_SECOND
from lockstitch_server.core.ids import tenant_hash
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


def session_summary(columns: Iterable[Any]) -> SessionSummary:
    """A row of `listing.sessions`."""
    *session, latest_id, latest_step, labels = columns
    return SessionSummary(SessionRow(*session), latest_id or "", latest_step or 0, json.loads(labels))


def listed_checkpoint(columns: Iterable[Any]) -> ListedCheckpoint:
    """A row of `listing.checkpoints`."""
    *checkpoint, session_id = columns
    return ListedCheckpoint(session_id, CheckpointRow(*checkpoint))
