"""From the contract's requests, already checked, to operations. Takes the requests apart."""

from collections.abc import Iterable

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch.v1 import checkpoint_service_pb2 as service_pb
from lockstitch_server.core.checkpoint import NS_PER_SECOND, split_header, split_state
from lockstitch_server.core.delta import split_delta
from lockstitch_server.core.ids import default_checkpoint_id, digest, framed, session_key
from lockstitch_server.core.operations import DraftDelta, Expected, Save, SaveWrites
from lockstitch_server.core.pending import new_write
from lockstitch_server.core.records import NewWrite
from lockstitch_server.core.terms import terms


def save_operation(request: service_pb.SaveRequest, tenant: str, trace_id: bytes = b"") -> Save:
    """What a SaveRequest asks for. Empties the request."""
    checkpoint = request.checkpoint
    key = session_key(tenant, checkpoint.session_id)
    checkpoint_id = checkpoint.checkpoint_id or default_checkpoint_id(checkpoint.step)
    name = (checkpoint.session_id, checkpoint.namespace, checkpoint_id, checkpoint.parent_id, checkpoint.step)
    session_id, namespace, _, parent_id, step = name
    found = terms(tenant, key, checkpoint, checkpoint_id)
    state = split_state(checkpoint.state) if checkpoint.HasField("state") else None
    server_time = not checkpoint.HasField("created_at")
    header = split_header(checkpoint)
    return Save(
        key=key,
        tenant=tenant,
        session_id=session_id,
        namespace=namespace,
        checkpoint_id=checkpoint_id,
        parent_id=parent_id,
        step=step,
        header=header,
        server_time=server_time,
        state=draft_delta(request, header, *map(str, name)) if request.HasField("delta") else state,
        terms=found,
        expected=expected_latest(request),
        lease_token=request.lease_token,
        writes=_new_writes(namespace, checkpoint_id, request.writes) if request.writes else (),
        ttl=request.ttl.seconds * NS_PER_SECOND + request.ttl.nanos if request.HasField("ttl") else None,
        trace_id=trace_id,
    )


def save_writes_operation(request: service_pb.SaveWritesRequest, tenant: str) -> SaveWrites:
    """What a SaveWritesRequest asks for."""
    key = session_key(tenant, request.session_id)
    return SaveWrites(
        key=key,
        tenant=tenant,
        session_id=request.session_id,
        namespace=request.namespace,
        checkpoint_id=request.checkpoint_id,
        writes=_new_writes(request.namespace, request.checkpoint_id, request.writes),
        lease_token=request.lease_token,
    )


def draft_delta(request: service_pb.SaveRequest, header: bytes, *name: str) -> DraftDelta:
    """The delta of a request. Empties it. Fails with DELTA_MISMATCH.

    name: that of the checkpoint: session, namespace, id, parent, step.
    """
    content = request.delta.SerializeToString(deterministic=True)
    request_digest = digest(framed(*name, request.base_checkpoint_id), len(header).to_bytes(8, "big"), header, content)
    return split_delta(request.delta, request.base_checkpoint_id, request.base_revision, request_digest)


def expected_latest(request: service_pb.SaveRequest) -> Expected | None:
    """The precondition of a request."""
    if not request.HasField("expected_latest"):
        return None
    expected = request.expected_latest
    kind = expected.WhichOneof("expected")
    if kind == "checkpoint_id":
        return Expected(kind, expected.checkpoint_id)
    if kind == "step":
        return Expected(kind, expected.step)
    return Expected("none")


def _new_writes(namespace: str, checkpoint_id: str, writes: Iterable[pb.PendingWrite]) -> list[NewWrite]:
    return [new_write(namespace, checkpoint_id, write) for write in writes]
