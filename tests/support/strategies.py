"""Messages of the contract for property tests: few names, so that saves meet; sizes on which storage turns."""

from typing import TypeVar

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import (
    ENDPOINT_END,
    ENDPOINT_START,
    BlobList,
    ChannelVersions,
    Checkpoint,
    CustomChannel,
    CustomDelta,
    ErrorEvent,
    ErrorsChannel,
    ErrorScope,
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

M = TypeVar("M", bound=ProtobufMessage)
UNKNOWN_FIELD = b"\xc0\x3e\x05"
"""Field 1000, the number 5: what a newer client may send."""


def with_unknown_field(message: M) -> M:
    return type(message).FromString(message.SerializeToString() + UNKNOWN_FIELD)


def maybe_newer(messages: st.SearchStrategy[M]) -> st.SearchStrategy[M]:
    """Now and then with a field that nobody here knows."""
    return st.one_of(messages, messages, messages.map(with_unknown_field))


u32 = st.sampled_from([0, 1, 2, 127, 128, 2**32 - 1])
u64 = st.sampled_from([0, 1, 2**53 + 1, 2**64 - 1])
names = st.sampled_from(["", "a", "b", "é"])
short_texts = st.text(alphabet="aé🧵\0", max_size=3)
# Around what stands in a manifest, and around the size of a log's rows.
long_texts = st.builds(
    str.__mul__, st.sampled_from("ab🧵"), st.sampled_from([30, 62, 63, 64, 65, 500, 1890, 2100, 4100])
)
texts = short_texts | long_texts
json_texts = st.sampled_from(["null", "1", " 1.0 ", "18446744073709551616", '{"b":1,"a":[]}', '"é"', '"\\u0000"']) | (
    long_texts.map(lambda text: f'"{text}"')
)
times = st.builds(Timestamp, seconds=st.integers(-2, 2), nanos=st.sampled_from([0, 1, 999_999_999]))
nodes = st.builds(NodeKind, custom=names) | st.builds(
    NodeKind, endpoint=st.sampled_from([ENDPOINT_START, ENDPOINT_END])
)

messages = maybe_newer(st.builds(Message, role=short_texts, content=texts))
long_bytes = st.builds(
    bytes.__mul__, st.sampled_from([b"\xff", b"\0", b"\xc3\x28"]), st.sampled_from([31, 32, 64, 1000])
)
blobs = maybe_newer(st.builds(TypedBlob, type=short_texts, data=st.binary(max_size=3) | long_bytes))
blob_lists = maybe_newer(st.builds(BlobList, items=st.lists(blobs, max_size=3)))
scopes = st.one_of(
    st.builds(ErrorScope, node=st.builds(ErrorScope.Node, kind=short_texts, step=u64)),
    st.builds(ErrorScope, scheduler=st.builds(ErrorScope.Scheduler, step=u64)),
    st.builds(ErrorScope, runner=st.builds(ErrorScope.Runner, session=short_texts, step=u64)),
    st.builds(ErrorScope, app=st.builds(ErrorScope.App)),
    st.builds(ErrorScope),
)
errors = st.recursive(
    maybe_newer(st.builds(WeaveError, message=texts, details=st.just("") | json_texts)),
    lambda causes: st.builds(WeaveError, message=short_texts, cause=causes),
    max_leaves=3,
)
events = maybe_newer(
    st.builds(
        ErrorEvent,
        when=st.none() | times,
        scope=st.none() | scopes,
        error=st.none() | errors,
        tags=st.lists(short_texts, max_size=2),
        context=st.just("") | json_texts,
    )
)
message_channels = maybe_newer(st.builds(MessagesChannel, version=u32, items=st.lists(messages, max_size=4)))
error_channels = maybe_newer(st.builds(ErrorsChannel, version=u32, items=st.lists(events, max_size=3)))
extra_channels = maybe_newer(
    st.builds(ExtrasChannel, version=u32, entries=st.dictionaries(names, json_texts, max_size=3))
)
custom_channels = maybe_newer(
    st.one_of(
        st.builds(CustomChannel, version=short_texts),
        st.builds(CustomChannel, version=short_texts, blob=blobs),
        st.builds(CustomChannel, version=short_texts, list=blob_lists),
    )
)
states = maybe_newer(
    st.builds(
        VersionedState,
        messages=st.none() | message_channels,
        extra=st.none() | extra_channels,
        errors=st.none() | error_channels,
        custom=st.dictionaries(names, custom_channels, max_size=3),
    )
)
headers = maybe_newer(
    st.builds(
        Checkpoint,
        frontier=st.lists(nodes, max_size=2),
        versions_seen=st.dictionaries(
            names, st.builds(ChannelVersions, versions=st.dictionaries(names, u64, max_size=2)), max_size=2
        ),
        concurrency_limit=u64,
        created_at=st.none() | times,
        ran_nodes=st.lists(nodes, max_size=2),
        skipped_nodes=st.lists(nodes, max_size=2),
        updated_channels=st.lists(short_texts, max_size=2),
        metadata=st.dictionaries(names, json_texts, max_size=2),
        header=st.none() | blobs,
    )
)
"""Checkpoints without names, steps and states."""

writes = maybe_newer(
    st.builds(
        PendingWrite,
        task_id=st.sampled_from("tu"),
        task_path=st.sampled_from(["", "p"]),
        index=st.sampled_from([-2, -1, 0, 1]),
        channel=names,
        value=st.none() | blobs,
    )
)

custom_deltas = st.one_of(
    st.builds(CustomDelta, version=short_texts),
    st.builds(CustomDelta, version=short_texts, blob=blobs),
    st.builds(CustomDelta, version=short_texts, list=blob_lists),
    st.builds(CustomDelta, version=short_texts, append=st.builds(BlobList, items=st.lists(blobs, max_size=2))),
)


@st.composite
def deltas(draw: st.DrawFn) -> StateDelta:
    """Any delta that is well formed."""
    put = draw(st.dictionaries(names, json_texts, max_size=2))
    custom = draw(st.dictionaries(names, custom_deltas, max_size=2))
    gone = draw(st.lists(names, max_size=2))
    extra = ExtrasDelta(version=draw(u32), set=put, remove=[name for name in gone if name not in put])
    return StateDelta(
        messages=draw(st.none() | st.builds(MessagesDelta, version=u32, append=st.lists(messages, max_size=2))),
        errors=draw(st.none() | st.builds(ErrorsDelta, version=u32, append=st.lists(events, max_size=2))),
        extra=draw(st.sampled_from([None, extra])),
        custom=custom,
        removed_custom=[name for name in draw(st.lists(names, max_size=1)) if name not in custom],
    )
