"""The summary of a session, as lists and single sessions show it."""

from collections.abc import Mapping

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.format.rows import SessionRow
from lockstitch_server.rpc.times import timestamp


def session_summary(
    row: SessionRow, latest_checkpoint_id: str, latest_step: int, labels: Mapping[str, str], lease_holder: str
) -> pb.SessionSummary:
    """The summary of a session whose row is not damaged. lease_holder: the name; "" if no lease is live."""
    return pb.SessionSummary(
        session_id=row.session_id,
        latest_checkpoint_id=latest_checkpoint_id,
        latest_step=latest_step,
        checkpoint_count=row.checkpoint_count,
        stored_bytes=row.stored_bytes,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        expire_at=timestamp(row.expire_at) if row.expire_at is not None else None,
        labels=labels,
        lease_holder=lease_holder,
        revision=row.revision,
    )
