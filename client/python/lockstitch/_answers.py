"""From the contract's answers to what the clients give."""

from google.protobuf.duration_pb2 import Duration

from lockstitch._errors import from_status
from lockstitch._types import (
    Ancestor,
    DamagedCheckpoint,
    Latest,
    LatestOf,
    Lease,
    ListedCheckpoint,
    Loaded,
    Page,
    Retention,
    Saved,
    SavedWrites,
    SaveOutcome,
    SessionDetails,
)
from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import session_service_pb2 as sessions_pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint


def saved(answer: pb.SaveResponse) -> Saved:
    return Saved(answer.checkpoint_id, answer.revision, SaveOutcome(answer.outcome), answer.saved_at)


def saved_writes(answer: pb.SaveWritesResponse) -> SavedWrites:
    return SavedWrites(answer.revision, answer.stored)


def loaded(answer: pb.LoadResponse) -> Loaded:
    return Loaded(
        answer.checkpoint, answer.pending_writes, answer.revision, answer.checkpoint_revision, answer.trace_id
    )


def latest(answer: pb.LoadLatestResponse) -> Latest:
    found = answer.checkpoint if answer.HasField("checkpoint") else None
    return Latest(found, answer.pending_writes, answer.revision, answer.checkpoint_revision, answer.trace_id)


def latest_of(request: pb.LoadLatestRequest, answer: pb.LoadLatestStreamResponse) -> LatestOf:
    error = from_status(answer.error) if answer.HasField("error") else None
    result = latest(answer.loaded) if answer.HasField("loaded") else None
    return LatestOf(request.session_id, request.namespace, error, result)


def ancestor(answer: pb.WalkAncestorsResponse) -> Ancestor:
    return Ancestor(answer.checkpoint, answer.pending_writes, answer.revision)


def sessions_page(answer: pb.ListSessionsResponse) -> Page[pb.SessionSummary]:
    return Page(answer.sessions, answer.next_page_token)


def checkpoints_page(answer: pb.ListCheckpointsResponse) -> Page[ListedCheckpoint]:
    items = [_listed(*pair) for pair in zip(answer.checkpoints, answer.details, strict=True)]
    total = answer.total_size if answer.HasField("total_size") else None
    return Page(items, answer.next_page_token, total, [_damaged(each) for each in answer.damaged])


def _damaged(named: pb.DamagedCheckpoint) -> DamagedCheckpoint:
    return DamagedCheckpoint(named.session_id, named.namespace, named.checkpoint_id, from_status(named.error))


def _listed(checkpoint: Checkpoint, details: pb.CheckpointDetails) -> ListedCheckpoint:
    return ListedCheckpoint(
        checkpoint,
        details.pending_writes,
        details.revision,
        details.saved_at,
        details.state_bytes,
        details.trace_id,
        details.channels,
    )


def session_details(answer: sessions_pb.GetSessionResponse) -> SessionDetails:
    """A session with its settings."""
    policy = answer.retention
    retention = Retention(policy.keep_last, policy.max_age.ToTimedelta() if policy.HasField("max_age") else None)
    return SessionDetails(
        answer.session,
        answer.ttl.ToTimedelta() if answer.HasField("ttl") else None,
        retention if answer.HasField("retention") else None,
        lease(answer.session.session_id, answer.lease, None) if answer.HasField("lease") else None,
    )


def lease(session_id: str, told: sessions_pb.Lease, ttl: Duration | None) -> Lease:
    """A lease."""
    span = ttl.ToTimedelta() if ttl is not None else None
    return Lease(session_id, told.token, told.holder, told.acquired_at, told.expire_at, span)
