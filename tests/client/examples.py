"""Checkpoints to save."""

from lockstitch import (
    END,
    START,
    BlobList,
    Checkpoint,
    CustomChannel,
    ErrorEvent,
    ErrorsChannel,
    ExtrasChannel,
    Message,
    MessagesChannel,
    PendingWrite,
    TypedBlob,
    VersionedState,
    WeaveError,
    json_text,
    message,
    node,
)


def conversation(session_id: str, step: int, text: str = "hello " * 50) -> Checkpoint:
    """A checkpoint whose conversation has one message more at every step."""
    items = [Message(role="user", content=f"{number}: {text}") for number in range(step + 1)]
    checkpoint = Checkpoint(
        session_id=session_id,
        checkpoint_id=f"{step:020d}",
        step=step,
        state=VersionedState(messages=MessagesChannel(version=step, items=items)),
    )
    checkpoint.created_at.FromNanoseconds(1_700_000_000_123_456_789 + step)
    return checkpoint


def everything(session_id: str, step: int = 1) -> Checkpoint:
    """A checkpoint that uses every field."""
    checkpoint = Checkpoint(
        session_id=session_id,
        namespace="outer/inner",
        checkpoint_id=f"id-{step}",
        parent_id="id-0",
        step=step,
        state=VersionedState(
            messages=MessagesChannel(version=2**32 - 1, items=[message("user", "h\u00e9llo"), message("robot", "")]),
            extra=ExtrasChannel(version=3, entries={"big": json_text(2**70), "spaced": ' {"b": 1, "a": 2} '}),
            errors=ErrorsChannel(version=1, items=[ErrorEvent(error=WeaveError(message="oh"), tags=["b", "a"])]),
            custom={
                "blob": CustomChannel(version="1.5", blob=TypedBlob(type="bytes", data=b"\x00\xff")),
                "list": CustomChannel(version="2", list=BlobList(items=[TypedBlob(data=b"1"), TypedBlob(data=b"2")])),
                "none": CustomChannel(version="0"),
            },
        ),
        frontier=[node("b"), START, node("a"), END],
        concurrency_limit=2**64 - 1,
        ran_nodes=[node("a")],
        skipped_nodes=[node("b")],
        updated_channels=["messages", "extra"],
        metadata={"source": json_text("loop"), "n": "1"},
        header=TypedBlob(type="msgpack", data=b"\x80"),
    )
    checkpoint.versions_seen["a"].versions["messages"] = 2**64 - 1
    checkpoint.created_at.FromNanoseconds(1_700_000_000_123_456_789)
    return checkpoint


def write(task_id: str, index: int, data: bytes = b"value") -> PendingWrite:
    return PendingWrite(
        task_id=task_id, task_path=f"p/{task_id}", index=index, channel="c", value=TypedBlob(type="bytes", data=data)
    )
