"""A checkpoint with all its fields at their extremes, and what a client without mercy may put beside them."""

from collections.abc import Iterator
from typing import TypeVar

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1.checkpoint_pb2 import (
    ENDPOINT_END,
    ENDPOINT_START,
    BlobList,
    ChannelVersions,
    Checkpoint,
    CustomChannel,
    ErrorEvent,
    ErrorsChannel,
    ErrorScope,
    ExtrasChannel,
    Message,
    MessagesChannel,
    NodeKind,
    PendingWrite,
    TypedBlob,
    VersionedState,
    WeaveError,
)

M = TypeVar("M", bound=ProtobufMessage)

MAX_U32, MAX_U64, MAX_STEP = 2**32 - 1, 2**64 - 1, 2**63 - 1
MIN_I32, MAX_I32 = -(2**31), 2**31 - 1
FIRST_TIME = Timestamp(seconds=-62_135_596_800)  # 0001-01-01, the earliest that a Timestamp can say
LAST_TIME = Timestamp(seconds=253_402_300_799, nanos=999_999_999)
ODD_TIME = Timestamp(seconds=-1, nanos=1)  # before 1970, and nanoseconds count forward

UNKNOWN_FIELDS = (
    b"\xc0\x3e\x05"  # 1000, a varint: 5
    b"\xc9\x3e\x00\x00\x00\x00\x00\x00\xf0\x3f"  # 1001, 64 bits
    b"\xd2\x3e\x03\xff\x00\xfe"  # 1002, bytes that are no UTF-8
    b"\xdd\x3e\x01\x02\x03\x04"  # 1003, 32 bits
)
"""What a newer client may send, with every wire type that is in use."""

TEXTS = (
    "",
    "\x00",
    "é",
    "e\u0301",
    "\u2028\ufeff",
    "🧵👩\u200d🚀",
    "\U0010ffff",
    "line\nline\r\n\ttab",
    "日本語",
    "\\\"'",
)

JSON_TEXTS = {
    "": "null",
    "2^53+1": "9007199254740993",
    "2^64": "18446744073709551616",
    "-2^63-1": "-9223372036854775809",
    "long": "123456789012345678901234567890" * 10,
    "double": "0.1000000000000000055511151231257827",
    "zero": "-0.0",
    "exponent": "1E400",
    "spaced": ' {"b" : 1 ,\t"a":[ ] ,\n"b": 2} ',
    "escapes": '"\\u0000\\ud83e\\uddf5\\/\\ud800"',
    "é🧵": '"é🧵\u2028"',
    "a/b.c$d": "[[[[]]]]",
}


def extreme_checkpoint(**fields: object) -> Checkpoint:
    """All fields at their extremes; those that are given are replaced."""
    checkpoint = Checkpoint(
        session_id="session",
        namespace="outer/inner é",
        checkpoint_id=f"{MAX_STEP:020d}",
        parent_id="é" * 64,
        step=MAX_STEP,
        state=extreme_state(),
        frontier=[NodeKind(custom=text) for text in TEXTS] + [END, START, END],
        versions_seen={
            "": ChannelVersions(versions={"": 0, "messages": MAX_U64, "2^63": 2**63, "2^53+1": 2**53 + 1}),
            "nothing seen": ChannelVersions(),
            "é": ChannelVersions(versions={"é": 1}),
        },
        concurrency_limit=MAX_U64,
        created_at=LAST_TIME,
        ran_nodes=[NodeKind(custom="a"), START, NodeKind(custom="a")],
        skipped_nodes=[END, NodeKind(custom="")],
        updated_channels=["messages", "", "messages"],
        metadata=JSON_TEXTS,
        header=TypedBlob(type="é", data=bytes(range(256))),
        depends_on="0",
    )
    checkpoint.MergeFrom(Checkpoint())
    for name, value in fields.items():
        _set(checkpoint, name, value)
    return checkpoint


START = NodeKind(endpoint=ENDPOINT_START)
END = NodeKind(endpoint=ENDPOINT_END)


def extreme_state() -> VersionedState:
    """Every channel, every kind of value, empty ones beside absent ones."""
    return VersionedState(
        messages=MessagesChannel(version=MAX_U32, items=[Message(role=text, content=text * 3) for text in TEXTS]),
        extra=ExtrasChannel(version=MAX_U32, entries=JSON_TEXTS),
        errors=ErrorsChannel(version=MAX_U32, items=list(extreme_events())),
        custom={
            "": CustomChannel(version="", blob=TypedBlob()),
            "é": CustomChannel(version="00001.5", blob=TypedBlob(type="bytes", data=b"\x00\xff\xfe")),
            "list": CustomChannel(version="2", list=BlobList(items=[TypedBlob(data=b"1"), TypedBlob(), blob()])),
            "empty list": CustomChannel(list=BlobList()),
            "no value": CustomChannel(version="3"),
            "nothing at all": CustomChannel(),
        },
    )


def extreme_events() -> Iterator[ErrorEvent]:
    """Errors of every scope, deep causes, times before 1970, and one that says nothing."""
    scopes = (
        ErrorScope(node=ErrorScope.Node(kind="Custom:é", step=MAX_U64)),
        ErrorScope(scheduler=ErrorScope.Scheduler(step=2**63)),
        ErrorScope(runner=ErrorScope.Runner(session="", step=0)),
        ErrorScope(app=ErrorScope.App()),
        ErrorScope(),
        None,
    )
    times = (FIRST_TIME, ODD_TIME, LAST_TIME, Timestamp(), Timestamp(nanos=1), None)
    for scope, when in zip(scopes, times, strict=True):
        yield ErrorEvent(when=when, scope=scope, error=deep_error(20), tags=["z", "", "z"], context='{"n": 1e400}')
    yield ErrorEvent()


def deep_error(depth: int) -> WeaveError:
    """An error with so many causes behind it."""
    error = WeaveError(message="innermost", details="-0")
    for level in range(depth):
        error = WeaveError(message=f"é{level}", cause=error, details="[]" if level % 2 else "")
    return error


def extreme_writes() -> list[PendingWrite]:
    """Pending writes in the order in which the server gives them: by task_path, task_id, index."""
    return [
        PendingWrite(task_id="t", index=MIN_I32, channel="", value=blob()),
        PendingWrite(task_id="t", index=-1, channel="é"),
        PendingWrite(task_id="t", index=MAX_I32, channel="c", value=TypedBlob()),
        PendingWrite(task_id="é", index=0, channel="c", value=blob()),
        PendingWrite(task_id="a", task_path="é" * 512, index=0, channel="c" * 512, value=blob()),
    ]


def blob() -> TypedBlob:
    return TypedBlob(type="x" * 255, data=b"\x00\x80\xff" * 100)


def newer(message: M) -> M:
    """A copy of a message with fields that nobody here knows, in it and in all messages within."""
    copy = type(message)()
    copy.CopyFrom(message)
    for part in messages_within(copy):
        part.MergeFromString(UNKNOWN_FIELDS)
    return copy


def without_unknown_fields(message: M) -> M:
    """A copy of a message as a client passes it on that drops what it does not know."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy


def messages_within(message: ProtobufMessage) -> Iterator[ProtobufMessage]:
    """A message and all within it, but for those of google.protobuf."""
    if message.DESCRIPTOR.file.package == "google.protobuf":
        return
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for part in value.values():
                    yield from messages_within(part)
        elif field.is_repeated:
            for part in value:
                yield from messages_within(part)
        else:
            yield from messages_within(value)


def _set(checkpoint: Checkpoint, name: str, value: object) -> None:
    checkpoint.ClearField(name)  # type: ignore[arg-type]  # any field's name
    if isinstance(value, ProtobufMessage):
        getattr(checkpoint, name).CopyFrom(value)
    elif value is not None:
        setattr(checkpoint, name, value)
