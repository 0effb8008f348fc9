"""Saving: what changed where that is enough, the whole state where it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lockstitch._calls import Caller
from lockstitch._deadline import Deadline
from lockstitch._delta import NotExpressible, Snapshot, diff
from lockstitch._draft import Draft
from lockstitch._errors import DeltaRefused
from lockstitch._memory import Base, Memory
from lockstitch._rpcs import SAVE
from lockstitch._save_ids import SaveIds
from lockstitch._tracing import call_span, current, within
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse


async def save(
    caller: Caller,
    memory: Memory | None,
    ids: SaveIds,
    checkpoint: Checkpoint,
    conditions: bytes,
    deadline: Deadline,
) -> SaveResponse:
    """Send a checkpoint with its full state, or something that comes to the same, as soon as there is room for it.

    `memory`: what is known of earlier saves; None: send full states only. It learns of nothing that the server has not
    acknowledged, so saves of one session may run side by side: each delta names the base it was made from.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise TypeError(f"a Checkpoint is wanted, not {type(checkpoint).__name__}")
    number = ids.next()
    with call_span(SAVE.path, caller.target) as span, within(span):
        return await _save_in_turn(caller, memory, ids, number, checkpoint, conditions, deadline)


def remember(memory: Memory | None, checkpoint: Checkpoint, revision: int) -> None:
    """Make a checkpoint that was loaded the base of the next delta. revision: its `checkpoint_revision`."""
    draft = Draft(checkpoint, b"")
    if memory is not None and revision and (snapshot := draft.snapshot(checkpoint, None)):
        memory.put(draft.key, Base(draft.checkpoint_id, revision, snapshot))


async def send(caller: Caller, request: SaveRequest, deadline: Deadline) -> SaveResponse:
    """Send a save whose delta the caller has made itself, as soon as there is room for it."""
    data, room = request.SerializeToString(), caller.transport.room
    with call_span(SAVE.path, caller.target) as span, within(span):
        await room.enter(len(data), deadline.remaining)
        try:
            async with _turn(caller, request.checkpoint.session_id, deadline):
                return await caller.save(data, request.checkpoint.session_id, deadline)
        finally:
            room.leave(len(data))


async def _save_in_turn(
    caller: Caller,
    memory: Memory | None,
    ids: SaveIds,
    number: int,
    checkpoint: Checkpoint,
    conditions: bytes,
    deadline: Deadline,
) -> SaveResponse:
    room = caller.transport.room
    draft = Draft(checkpoint, conditions) if room.is_open() else None  # nothing is copied by those who have to wait
    size = draft.size if draft else checkpoint.ByteSize() + len(conditions)
    await room.enter(size, deadline.remaining)
    try:
        async with _turn(caller, checkpoint.session_id, deadline):
            draft = draft or Draft(checkpoint, conditions)
            with ids.identified(draft, number):
                if memory is None:
                    return await caller.save(draft.full(), draft.key[0], deadline)
                return await _save(caller, memory, checkpoint, draft, deadline)
    finally:
        room.leave(size)


@asynccontextmanager
async def _turn(caller: Caller, session_id: str, deadline: Deadline) -> AsyncIterator[None]:
    """Saves of one session are sent in the order in which they come here."""
    turns = caller.transport.turns
    is_alone = await turns.enter(session_id, deadline.remaining)
    try:
        yield
    finally:
        if is_alone:
            turns.leave(session_id)


async def _save(
    caller: Caller, memory: Memory, checkpoint: Checkpoint, draft: Draft, deadline: Deadline
) -> SaveResponse:
    base = memory.get(draft.key)
    snapshot = draft.snapshot(checkpoint, base.snapshot if base else None)
    smaller = _as_delta(draft, base, snapshot) if base and snapshot else None
    try:
        answer = await caller.save(smaller or draft.full(), draft.key[0], deadline)
    except DeltaRefused:
        if smaller is None:
            raise
        current().retried("the server wants the full state")
        answer = await caller.save(draft.full(), draft.key[0], deadline)
    if snapshot and answer.revision:  # without it nobody would notice that a base was replaced
        memory.put(draft.key, Base(answer.checkpoint_id, answer.revision, snapshot))
    return answer


def _as_delta(draft: Draft, base: Base, snapshot: Snapshot) -> bytes | None:
    """None: there is none, or no gain in it."""
    if base.checkpoint_id == draft.checkpoint_id:
        return None  # it would replace what it starts from, and could not be repeated
    try:
        delta = diff(base.snapshot, snapshot)
    except NotExpressible:
        return None
    if len(delta) >= snapshot.size:
        return None
    return draft.with_delta(SaveRequest(base_checkpoint_id=base.checkpoint_id, base_revision=base.revision), delta)
