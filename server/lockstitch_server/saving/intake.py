"""Makes operations from valid requests. Nothing else makes operations."""

from collections.abc import Iterable

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch.v1 import checkpoint_service_pb2 as service_pb
from lockstitch_server.core.format.checkpoint import DraftState, detach_items, split_custom, split_header, split_state
from lockstitch_server.core.format.parts import DraftPart
from lockstitch_server.core.format.pending_writes import new_write
from lockstitch_server.core.format.rows import NewWrite
from lockstitch_server.core.format.save_ids import save_id
from lockstitch_server.core.format.search_terms import header_terms, with_step
from lockstitch_server.core.ids import default_checkpoint_id, digest, framed, session_key
from lockstitch_server.core.planning.operations import (
    CustomDelta,
    DraftDelta,
    Expected,
    ExtraDelta,
    ListDelta,
    Save,
    SaveWrites,
)
from lockstitch_server.records.v1.record_pb2 import PART_KIND_CUSTOM_LIST, PART_KIND_EXTRA


def save_operation(request: service_pb.SaveRequest, tenant: str, trace_id: bytes = b"") -> Save:
    """The operation of a valid SaveRequest. Empties the request.

    trace_id: of the trace of the save, 16 bytes; empty: none.
    """
    checkpoint = request.checkpoint
    session_id, namespace, parent_id, step = (
        checkpoint.session_id,
        checkpoint.namespace,
        checkpoint.parent_id,
        checkpoint.step,
    )
    key, default_id = session_key(tenant, session_id), default_checkpoint_id(step)
    checkpoint_id = checkpoint.checkpoint_id or default_id
    state: DraftState | DraftDelta | None = None
    if checkpoint.HasField("state"):
        state = split_state(checkpoint.state)
    server_time = not checkpoint.HasField("created_at")
    header = split_header(checkpoint)
    terms = header_terms(tenant, checkpoint)
    if request.HasField("delta"):
        state = draft_delta(request, header, session_id, namespace, checkpoint_id, parent_id, str(step))
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
        state=state,
        terms=terms if checkpoint_id == default_id else with_step(terms, key, namespace, step),
        expected=expected_latest(request),
        lease_token=request.lease_token,
        writes=_new_writes(namespace, checkpoint_id, request.writes) if request.writes else (),
        ttl=request.ttl.ToNanoseconds() if request.HasField("ttl") else None,
        trace_id=trace_id,
        save_id=save_id(request.save_id.writer, request.save_id.number) if request.HasField("save_id") else None,
    )


def save_writes_operation(request: service_pb.SaveWritesRequest, tenant: str) -> SaveWrites:
    """The operation of a valid SaveWritesRequest."""
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
    """The delta of a request. Empties it.

    name: that of the checkpoint: session, namespace, id, parent, step.
    """
    content = request.delta.SerializeToString(deterministic=True)
    request_digest = digest(framed(*name, request.base_checkpoint_id), len(header).to_bytes(8, "big"), header, content)
    return _split_delta(request.delta, request.base_checkpoint_id, request.base_revision, request_digest)


def expected_latest(request: service_pb.SaveRequest) -> Expected | None:
    """The precondition of a request."""
    if not request.HasField("expected_latest"):
        return None
    expected = request.expected_latest
    kind = expected.WhichOneof("expected")
    if kind == "checkpoint_id":
        return Expected(kind, expected.checkpoint_id, expected.revision)
    if kind == "step":
        return Expected(kind, expected.step, expected.revision)
    return Expected("none")


def _new_writes(namespace: str, checkpoint_id: str, writes: Iterable[pb.PendingWrite]) -> list[NewWrite]:
    return [new_write(namespace, checkpoint_id, write) for write in writes]


# Deltas


def _split_delta(delta: pb.StateDelta, base_id: str, base_revision: int, digest: bytes) -> DraftDelta:
    """Split a valid delta. Empties it."""
    return DraftDelta(
        base_id,
        base_revision,
        digest,
        _split_list(delta.messages) if delta.HasField("messages") else None,
        _split_list(delta.errors) if delta.HasField("errors") else None,
        _split_extra(delta.extra) if delta.HasField("extra") else None,
        [_split_custom(name, delta.custom[name]) for name in sorted(delta.custom)],
        frozenset(delta.removed_custom),
    )


def _split_list(delta: pb.MessagesDelta | pb.ErrorsDelta) -> ListDelta:
    channel: pb.MessagesChannel | pb.ErrorsChannel
    if isinstance(delta, pb.MessagesDelta):
        channel = pb.MessagesChannel(items=delta.append)
    else:
        channel = pb.ErrorsChannel(items=delta.append)
    return ListDelta(delta.version, channel.SerializeToString())


def _split_extra(delta: pb.ExtrasDelta) -> ExtraDelta:
    put = [DraftPart(PART_KIND_EXTRA, key, delta.set[key].encode()) for key in sorted(delta.set)]
    return ExtraDelta(delta.version, put, frozenset(delta.remove))


def _split_custom(name: str, delta: pb.CustomDelta) -> CustomDelta:
    channel = pb.CustomChannel(version=delta.version)
    change = delta.WhichOneof("change")
    if change == "append":
        shell = channel.SerializeToString()
        _, items = detach_items(delta.append)
        return CustomDelta(name, delta.version, "append", DraftPart(PART_KIND_CUSTOM_LIST, name, items, shell))
    if change == "blob":
        channel.blob.CopyFrom(delta.blob)
    elif change == "list":
        channel.list.CopyFrom(delta.list)
    return CustomDelta(name, delta.version, "put" if change else "version", split_custom(name, channel))
