"""Requests, in few words; and what comes back of them."""

from collections.abc import Awaitable, Iterable
from typing import Any

import pytest
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
    StateDelta,
    TypedBlob,
    VersionedState,
    WeaveError,
)
from lockstitch.v1.checkpoint_service_pb2 import (
    ListCheckpointsRequest,
    ListCheckpointsResponse,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadRequest,
    SaveRequest,
    SaveResponse,
    SessionSummary,
    WalkAncestorsRequest,
    WalkAncestorsResponse,
)
from tests.support.api import Api, ApiError

MAX_U32 = 2**32 - 1
MAX_U64 = 2**64 - 1
MAX_STEP = 2**63 - 1
START = NodeKind(endpoint=ENDPOINT_START)
END = NodeKind(endpoint=ENDPOINT_END)
TAKEN_AT = Timestamp(seconds=1_700_000_000, nanos=123_456_789)


# Messages out of plain dictionaries, which the constructors take and their type hints do not.


def state_of(**channels: Any) -> VersionedState:
    return VersionedState(**channels)


def delta_of(**changes: Any) -> StateDelta:
    return StateDelta(**changes)


def checkpoint_of(**fields: Any) -> Checkpoint:
    return Checkpoint(**fields)


def write_of(**fields: Any) -> PendingWrite:
    return PendingWrite(**fields)


def save_request(**fields: Any) -> SaveRequest:
    return SaveRequest(**fields)


def list_request(**fields: Any) -> ListCheckpointsRequest:
    return ListCheckpointsRequest(**fields)


def sessions_request(**fields: Any) -> ListSessionsRequest:
    return ListSessionsRequest(**fields)


def node(name: str) -> NodeKind:
    return NodeKind(custom=name)


def said(*contents: str, version: int = 1) -> MessagesChannel:
    return MessagesChannel(version=version, items=[Message(role="user", content=content) for content in contents])


def failed(*texts: str, version: int = 1) -> ErrorsChannel:
    return ErrorsChannel(version=version, items=[ErrorEvent(error=WeaveError(message=text)) for text in texts])


def extras(version: int = 1, /, **entries: str) -> ExtrasChannel:
    return ExtrasChannel(version=version, entries=entries)


def blob(data: bytes = b"data", kind: str = "bytes") -> TypedBlob:
    return TypedBlob(type=kind, data=data)


def blobs(*data: bytes) -> BlobList:
    return BlobList(items=[blob(each) for each in data])


def state(*contents: str, **channels: Any) -> VersionedState:
    """A state in which this was said."""
    return VersionedState(messages=said(*contents), **channels)


def checkpoint(session: str, step: int = 1, **fields: Any) -> Checkpoint:
    """A checkpoint with little in it, and a time, so that what is sent is what comes back."""
    defaults = {"session_id": session, "step": step, "state": state("hi"), "created_at": TAKEN_AT}
    return checkpoint_of(**defaults | fields)


def full_checkpoint(session: str, step: int = 7) -> Checkpoint:
    """A checkpoint in which every field of the contract is set."""
    return Checkpoint(
        session_id=session,
        namespace="outer/inner",
        checkpoint_id=f"{step:020d}",
        parent_id="parent",
        step=step,
        state=full_state(),
        frontier=[node("next"), END, START],
        versions_seen={
            "a": ChannelVersions(versions={"messages": 3, "": MAX_U64}),
            "nothing seen": ChannelVersions(),
        },
        concurrency_limit=MAX_U64,
        created_at=TAKEN_AT,
        ran_nodes=[node("a"), START, node("a")],
        skipped_nodes=[node("b"), END],
        updated_channels=["messages", "extra", "messages"],
        metadata={"source": '"loop"', "step": "7", "tags": '{"b": [1.50, null], "a": true}'},
        header=TypedBlob(type="msgpack", data=bytes(range(256))),
    )


def full_state() -> VersionedState:
    """A state in which every field of the contract is set, one way or the other."""
    return VersionedState(
        messages=MessagesChannel(
            version=MAX_U32, items=[Message(role="user", content="hello"), Message(role="assistant", content="")]
        ),
        extra=ExtrasChannel(version=2, entries={"number": "12345678901234567890", "object": '{"b":1, "a":[ ]}'}),
        errors=ErrorsChannel(version=3, items=list(full_events())),
        custom={
            "blob": CustomChannel(version="00001.5", blob=TypedBlob(type="json", data=b"{}")),
            "list": CustomChannel(version="2", list=blobs(b"one", b"", b"three")),
            "no value": CustomChannel(version="3"),
        },
    )


def full_events() -> Iterable[ErrorEvent]:
    """Errors of every scope."""
    cause = WeaveError(message="inner", cause=WeaveError(message="innermost", details="[]"), details="1e400")
    for scope in (
        ErrorScope(node=ErrorScope.Node(kind="Custom:a", step=1)),
        ErrorScope(scheduler=ErrorScope.Scheduler(step=2)),
        ErrorScope(runner=ErrorScope.Runner(session="s", step=3)),
        ErrorScope(app=ErrorScope.App()),
        ErrorScope(),
    ):
        yield ErrorEvent(
            when=TAKEN_AT,
            scope=scope,
            error=WeaveError(message="outer", cause=cause, details='{"code": 1}'),
            tags=["z", "a", "z"],
            context='{"try": 3}',
        )


def write(task: str = "task", index: int = 0, data: bytes = b"", **fields: Any) -> PendingWrite:
    return write_of(**{"task_id": task, "index": index, "channel": "out", "value": blob(data)} | fields)


def add_unknown_field(message: ProtobufMessage) -> None:
    """As a newer client may send it: field 1000, the number 5."""
    message.MergeFromString(b"\xc0\x3e\x05")


def contents(checkpoint: Checkpoint) -> list[str]:
    """What was said."""
    return [message.content for message in checkpoint.state.messages.items]


def values(writes: Iterable[PendingWrite]) -> list[bytes]:
    return [write.value.data for write in writes]


def exactly(message: ProtobufMessage) -> bytes:
    """A message as bytes, unknown fields and all, alike for equal ones."""
    return message.SerializeToString(deterministic=True)


def assert_same(actual: ProtobufMessage, expected: ProtobufMessage) -> None:
    """Equal to the last bit."""
    assert actual == expected
    assert exactly(actual) == exactly(expected)


async def save(api: Api, what: Checkpoint, **fields: Any) -> SaveResponse:
    return await api.save(SaveRequest(checkpoint=what, **fields))


async def latest(api: Api, session: str, namespace: str = "") -> Checkpoint:
    """The latest checkpoint, which must be there."""
    answer = await api.load_latest(LoadLatestRequest(session_id=session, namespace=namespace))
    assert answer.HasField("checkpoint")
    return answer.checkpoint


async def load(api: Api, session: str, checkpoint_id: str, namespace: str = "") -> Checkpoint:
    request = LoadRequest(session_id=session, namespace=namespace, checkpoint_id=checkpoint_id)
    return (await api.load(request)).checkpoint


async def pending(api: Api, session: str, checkpoint_id: str, namespace: str = "") -> list[PendingWrite]:
    """The pending writes of a checkpoint."""
    request = LoadRequest(session_id=session, namespace=namespace, checkpoint_id=checkpoint_id)
    return list((await api.load(request)).pending_writes)


async def summary(api: Api, session: str) -> SessionSummary:
    """The session as a list shows it."""
    (found,) = (await api.list_sessions(ListSessionsRequest(session_id_prefix=session))).sessions
    return found


async def page(api: Api, session: str, **fields: Any) -> ListCheckpointsResponse:
    return await api.list_checkpoints(ListCheckpointsRequest(session_id=session, **fields))


async def ids(api: Api, session: str, **fields: Any) -> list[str]:
    """The ids of the checkpoints that a list finds."""
    return [found.checkpoint_id for found in (await page(api, session, **fields)).checkpoints]


async def steps(api: Api, session: str, **fields: Any) -> list[int]:
    """The steps of the checkpoints that a list finds."""
    return [found.step for found in (await page(api, session, **fields)).checkpoints]


async def walk(api: Api, session: str, checkpoint_id: str = "", **fields: Any) -> list[WalkAncestorsResponse]:
    request = WalkAncestorsRequest(session_id=session, checkpoint_id=checkpoint_id, **fields)
    return [answer async for answer in api.walk_ancestors(request)]


async def revision(api: Api, session: str) -> int:
    """Grows with every change of the session."""
    return (await api.load_latest(LoadLatestRequest(session_id=session))).revision


async def refused(call: Awaitable[object]) -> ApiError:
    """How a call fails, which it must."""
    with pytest.raises(ApiError) as caught:
        await call
    assert caught.value.info.domain == "lockstitch.dev"
    return caught.value
