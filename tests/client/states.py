"""States of all kinds, for property tests: small alphabets, so that channels often share names and beginnings."""

from typing import TypeVar

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import (
    BlobList,
    CustomChannel,
    ErrorEvent,
    ErrorsChannel,
    ErrorScope,
    ExtrasChannel,
    Message,
    MessagesChannel,
    TypedBlob,
    VersionedState,
    WeaveError,
)

M = TypeVar("M", bound=ProtobufMessage)
UNKNOWN_FIELD = b"\xc0\x3e\x05"
"""Field 1000, the number 5: what a newer client may send."""


def with_unknown_field(message: M) -> M:
    """The message, with a field that nobody here knows."""
    return type(message).FromString(message.SerializeToString() + UNKNOWN_FIELD)


def maybe_newer(messages: st.SearchStrategy[M]) -> st.SearchStrategy[M]:
    """Now and then with an unknown field."""
    return messages | messages.map(with_unknown_field)


texts = st.text(alphabet="ab\u00e9\U0001f9f5", max_size=3)
u32 = st.sampled_from([0, 1, 127, 128, 2**32 - 1])
json_texts = st.sampled_from(["null", "1", " 1", "18446744073709551616", '{"b":1,"a":[]}', '"\u00e9"'])
names = st.sampled_from(["", "a", "b", "\u00e9"])

messages = maybe_newer(st.builds(Message, role=texts, content=texts))
blobs = maybe_newer(st.builds(TypedBlob, type=texts, data=st.binary(max_size=3)))
events = maybe_newer(
    st.builds(
        ErrorEvent,
        when=st.none() | st.builds(Timestamp, seconds=st.integers(0, 3), nanos=st.integers(0, 999_999_999)),
        scope=st.none() | st.builds(ErrorScope, node=st.builds(ErrorScope.Node, kind=texts, step=u32)),
        error=st.builds(WeaveError, message=texts, cause=st.none() | st.builds(WeaveError, message=texts)),
        tags=st.lists(texts, max_size=2),
    )
)
message_channels = st.builds(MessagesChannel, version=u32, items=st.lists(messages, max_size=4))
error_channels = st.builds(ErrorsChannel, version=u32, items=st.lists(events, max_size=3))
extra_channels = st.builds(ExtrasChannel, version=u32, entries=st.dictionaries(names, json_texts, max_size=3))
custom_channels = (
    st.builds(CustomChannel, version=texts, blob=blobs)
    | st.builds(CustomChannel, version=texts, list=st.builds(BlobList, items=st.lists(blobs, max_size=3)))
    | st.builds(CustomChannel, version=texts)
)
states = st.builds(
    VersionedState,
    messages=st.none() | message_channels,
    extra=st.none() | extra_channels,
    errors=st.none() | error_channels,
    custom=st.dictionaries(names, custom_channels, max_size=3),
)


@st.composite
def successors(draw: st.DrawFn, state: VersionedState) -> VersionedState:
    """What a runner may have made of a state in a step or two: mostly more of the same."""
    new = VersionedState()
    new.CopyFrom(state)
    for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=4)):
        change(draw, new)
    return new


def _more_messages(draw: st.DrawFn, state: VersionedState) -> None:
    state.messages.version = draw(u32)
    state.messages.items.extend(draw(st.lists(messages, max_size=2)))


def _more_errors(draw: st.DrawFn, state: VersionedState) -> None:
    state.errors.version = draw(u32)
    state.errors.items.extend(draw(st.lists(events, max_size=2)))


def _other_extra(draw: st.DrawFn, state: VersionedState) -> None:
    state.extra.version = draw(u32)
    state.extra.entries.pop(draw(names), None)
    state.extra.entries[draw(names)] = draw(json_texts)


def _more_custom(draw: st.DrawFn, state: VersionedState) -> None:
    channel = state.custom[draw(names)]
    channel.version = draw(texts)
    if channel.WhichOneof("value") == "list":
        channel.list.items.extend(draw(st.lists(blobs, max_size=2)))


def _other_custom(draw: st.DrawFn, state: VersionedState) -> None:
    state.custom[draw(names)].CopyFrom(draw(custom_channels))


def _less(draw: st.DrawFn, state: VersionedState) -> None:
    state.custom.pop(draw(names), None)
    if draw(st.booleans()) and state.messages.items:
        del state.messages.items[draw(st.integers(0, len(state.messages.items) - 1))]
    if draw(st.booleans()):
        state.ClearField("messages")
    if draw(st.booleans()):
        state.ClearField("extra")


_CHANGES = (_more_messages, _more_errors, _other_extra, _more_custom, _other_custom, _less)
