"""Saving: what changed where that is enough, the whole state where it is not."""

from lockstitch import _rpcs
from lockstitch._calls import Caller
from lockstitch._deadline import Deadline
from lockstitch._delta import NotExpressible, Snapshot, diff
from lockstitch._errors import DeltaRefused
from lockstitch._memory import Base, Key, Memory
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse


async def save(caller: Caller, memory: Memory | None, request: SaveRequest, deadline: Deadline) -> SaveResponse:
    """Send a request with a full state, or one that comes to the same.

    `memory`: what is known of earlier saves; None: send full states only. It learns of nothing that the server has not
    acknowledged, so saves of one session may run side by side: each delta names the base it was made from.
    """
    snapshot = _snapshot(request.checkpoint) if memory is not None else None
    if memory is None or snapshot is None:
        return await caller.call(_rpcs.SAVE, request, deadline)
    key = (request.checkpoint.session_id, request.checkpoint.namespace)
    answer = await _save_delta(caller, memory, key, request, snapshot, deadline)
    if answer is None:
        answer = await caller.call(_rpcs.SAVE, request, deadline)
    if answer.revision:  # without it nobody would notice that a base was replaced
        memory.put(key, Base(answer.checkpoint_id, answer.revision, snapshot))
    return answer


async def _save_delta(
    caller: Caller, memory: Memory, key: Key, request: SaveRequest, snapshot: Snapshot, deadline: Deadline
) -> SaveResponse | None:
    """None: there is nothing to start from, no gain in it, or the server does not take it."""
    base = memory.get(key)
    smaller = _as_delta(request, base, snapshot) if base is not None else None
    if base is None or smaller is None:
        return None
    try:
        return await caller.call(_rpcs.SAVE, smaller, deadline)
    except DeltaRefused:
        return None


def _as_delta(request: SaveRequest, base: Base, snapshot: Snapshot) -> SaveRequest | None:
    if base.checkpoint_id == _id_of(request.checkpoint):
        return None  # it would replace what it starts from, and could not be repeated
    try:
        delta = diff(base.snapshot, snapshot, request.checkpoint.state)
    except NotExpressible:
        return None
    if delta.ByteSize() >= snapshot.size:
        return None
    smaller = SaveRequest()
    smaller.CopyFrom(request)
    smaller.checkpoint.ClearField("state")
    smaller.delta.MergeFrom(delta)
    smaller.delta.SetInParent()  # an empty delta is one too
    smaller.base_checkpoint_id = base.checkpoint_id
    smaller.base_revision = base.revision
    return smaller


def _snapshot(checkpoint: Checkpoint) -> Snapshot | None:
    if not checkpoint.HasField("state"):
        return None
    try:
        return Snapshot.of(checkpoint.state)
    except NotExpressible:
        return None


def _id_of(checkpoint: Checkpoint) -> str:
    """The id under which the server will store it."""
    return checkpoint.checkpoint_id or f"{checkpoint.step:020d}"
