"""Sessions that are made up as they go, and can be made up again: content follows from (session, step, variant)."""

import random
from collections.abc import Callable
from functools import cache

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1.checkpoint_pb2 import (
    BlobList,
    ChannelVersions,
    Checkpoint,
    CustomChannel,
    CustomDelta,
    ErrorEvent,
    ErrorsChannel,
    ErrorsDelta,
    ExtrasChannel,
    ExtrasDelta,
    Message,
    MessagesChannel,
    MessagesDelta,
    NodeKind,
    PendingWrite,
    StateDelta,
    TypedBlob,
    VersionedState,
    WeaveError,
)
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveWritesRequest

MakeSave = Callable[[str, int, int], SaveRequest]
"""Of session, step and variant."""

LARGE = 100_000
"""Bytes of a message that does not fit into a page, a row or a packet."""


def checkpoint_id(step: int) -> str:
    return f"{step:020d}"


def full_save(session: str, step: int, variant: int = 0) -> SaveRequest:
    """A save that brings the whole state."""
    return SaveRequest(checkpoint=checkpoint(session, step, variant))


def delta_save(session: str, step: int, variant: int = 0) -> SaveRequest:
    """A save of the same checkpoint that brings what changed since the step before, whatever that one's variant."""
    brought = checkpoint(session, step, variant)
    brought.ClearField("state")
    return SaveRequest(checkpoint=brought, base_checkpoint_id=checkpoint_id(step - 1), delta=_delta(step, variant))


def writes_save(session: str, step: int, writes: list[PendingWrite]) -> SaveWritesRequest:
    return SaveWritesRequest(session_id=session, checkpoint_id=checkpoint_id(step), writes=writes)


def pending_writes(task_id: str, count: int) -> list[PendingWrite]:
    """Outputs of one task."""
    noise = random.Random(task_id)
    return [
        PendingWrite(task_id=task_id, index=index, channel="messages", value=TypedBlob(data=noise.randbytes(200)))
        for index in range(count)
    ]


def checkpoint(session: str, step: int, variant: int = 0) -> Checkpoint:
    return Checkpoint(
        session_id=session,
        checkpoint_id=checkpoint_id(step),
        parent_id=checkpoint_id(step - 1) if step else "",
        step=step,
        state=_state(step, variant),
        frontier=[NodeKind(custom="plan"), NodeKind(custom="act")],
        versions_seen={"plan": ChannelVersions(versions={"messages": step})},
        concurrency_limit=4,
        created_at=Timestamp(seconds=1_700_000_000 + step, nanos=123_456_789),
        ran_nodes=[NodeKind(custom="plan")],
        updated_channels=["messages", "extra"],
        metadata={"step": str(step), "variant": str(variant)},
    )


def _state(step: int, variant: int) -> VersionedState:
    errors = [_error(number) for number in range(7, step + 1, 7)]
    return VersionedState(
        messages=MessagesChannel(version=step + 1, items=[_message(number) for number in range(step + 1)]),
        extra=ExtrasChannel(version=step + 1, entries=_extra(step, variant)),
        errors=ErrorsChannel(version=len(errors), items=errors),
        custom={
            "memory": CustomChannel(version=str(step), list=BlobList(items=[_blob(i) for i in range(step + 1)])),
            "plan": CustomChannel(version=str(step), blob=_blob(step)),
        },
    )


def _delta(step: int, variant: int) -> StateDelta:
    errors = [_error(step)] if step % 7 == 0 else []
    return StateDelta(
        messages=MessagesDelta(version=step + 1, append=[_message(step)]),
        extra=ExtrasDelta(version=step + 1, set=_extra(step, variant)),
        errors=ErrorsDelta(version=step // 7, append=errors),
        custom={
            "memory": CustomDelta(version=str(step), append=BlobList(items=[_blob(step)])),
            "plan": CustomDelta(version=str(step), blob=_blob(step)),
        },
    )


@cache
def _message(number: int) -> Message:
    noise = random.Random(number)
    size = LARGE if number % 16 == 9 else noise.randrange(50, 600)
    return Message(role=noise.choice(["user", "assistant"]), content=noise.randbytes(size // 2).hex())


def _extra(step: int, variant: int) -> dict[str, str]:
    return {"step": str(step), "variant": str(variant), "notes": f'"{random.Random(step // 5).randbytes(600).hex()}"'}


@cache
def _error(number: int) -> ErrorEvent:
    return ErrorEvent(error=WeaveError(message=f"error {number}", details='{"retry": true}'), tags=["tool"])


@cache
def _blob(number: int) -> TypedBlob:
    return TypedBlob(type="bytes", data=random.Random(-number).randbytes(300))
