"""Splits a Checkpoint message into header, skeleton and parts, and joins them again."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.unknown_fields import UnknownFieldSet

from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    CustomChannel,
    ExtrasChannel,
    VersionedState,
)
from lockstitch_server.core.format.manifest import Skeleton
from lockstitch_server.core.format.parts import CUSTOM, DraftPart
from lockstitch_server.core.wire import encode
from lockstitch_server.records.v1.record_pb2 import (
    PART_KIND_CUSTOM_BLOB,
    PART_KIND_CUSTOM_EMPTY,
    PART_KIND_CUSTOM_LIST,
    PART_KIND_ERRORS,
    PART_KIND_EXTRA,
    PART_KIND_MESSAGES,
    Manifest,
    Part,
)

NS_PER_SECOND = 1_000_000_000


class DraftState(NamedTuple):
    """The state of a save: its skeleton, and its parts with their bytes."""

    skeleton: Skeleton
    parts: Sequence[DraftPart]


def split_state(state: VersionedState) -> DraftState:
    """Split a state. Empties `state`."""
    messages = extra = errors = None
    parts: list[DraftPart] = []
    if state.HasField("messages"):
        messages, items = detach_items(state.messages)
        if items:
            parts.append(DraftPart(PART_KIND_MESSAGES, "", items))
        state.ClearField("messages")
    if state.HasField("errors"):
        errors, items = detach_items(state.errors)
        if items:
            parts.append(DraftPart(PART_KIND_ERRORS, "", items))
        state.ClearField("errors")
    if state.HasField("extra"):
        channel = state.extra
        entries = channel.entries
        parts.extend(DraftPart(PART_KIND_EXTRA, key, entries[key].encode()) for key in sorted(entries))
        channel.ClearField("entries")
        extra = channel.SerializeToString()
        state.ClearField("extra")
    if state.custom:
        parts.extend(split_custom(name, state.custom[name]) for name in sorted(state.custom))
        state.ClearField("custom")
    return DraftState(Skeleton(state.SerializeToString(), messages, extra, errors), parts)


def split_custom(name: str, channel: CustomChannel) -> DraftPart:
    """Split a custom channel. Empties `channel`."""
    value = channel.WhichOneof("value")
    if value == "blob":
        data = channel.blob.SerializeToString()
        channel.ClearField("blob")
        return DraftPart(PART_KIND_CUSTOM_BLOB, name, data, channel.SerializeToString())
    if value == "list":
        list_shell, data = detach_items(channel.list)
        if not list_shell:
            channel.ClearField("list")
        return DraftPart(PART_KIND_CUSTOM_LIST, name, data, channel.SerializeToString())
    return DraftPart(PART_KIND_CUSTOM_EMPTY, name, b"", channel.SerializeToString())


def detach_items(channel: ProtobufMessage) -> tuple[bytes, bytes]:
    """Separate the `items` of a message from the rest of it: (shell, serialized items). Empties `items`."""
    whole = channel.SerializeToString()
    simple = not has_unknown_fields(channel)  # which would stand behind the items
    channel.ClearField("items")
    shell = channel.SerializeToString()
    if simple and whole.startswith(shell):  # fields are written by number, but nobody has promised it
        return shell, whole[len(shell) :]
    only = type(channel)()
    only.items.MergeFrom(type(channel).FromString(whole).items)  # type: ignore[attr-defined]  # lists have this field
    return shell, only.SerializeToString()


def split_header(checkpoint: Checkpoint) -> bytes:
    """Clear the state and the fields that have columns of their own, and serialize the rest."""
    for field in ("session_id", "namespace", "checkpoint_id", "parent_id", "step", "state"):
        checkpoint.ClearField(field)
    return checkpoint.SerializeToString(deterministic=True)


def has_unknown_fields(message: ProtobufMessage) -> bool:
    """Whether a message, not those inside it, holds fields that this server does not know."""
    return len(UnknownFieldSet(message)) > 0


def state_pieces(manifest: Manifest, pieces_of: Callable[[Part], Sequence[bytes]]) -> list[bytes]:
    """A serialized VersionedState out of stored bytes, each singular field once, in pieces that are not joined yet."""
    by_kind = _by_kind(manifest.parts)
    pieces = [manifest.shell]
    if manifest.HasField("messages"):
        items = chain.from_iterable(map(pieces_of, by_kind(PART_KIND_MESSAGES)))
        pieces += encode.nested(VersionedState.MESSAGES_FIELD_NUMBER, [manifest.messages, *items])
    if manifest.HasField("extra"):
        entries = [
            _entry(ExtrasChannel.ENTRIES_FIELD_NUMBER, part.key, b"".join(pieces_of(part)))
            for part in by_kind(PART_KIND_EXTRA)
        ]
        pieces += encode.nested(VersionedState.EXTRA_FIELD_NUMBER, [manifest.extra, *entries])
    if manifest.HasField("errors"):
        items = chain.from_iterable(map(pieces_of, by_kind(PART_KIND_ERRORS)))
        pieces += encode.nested(VersionedState.ERRORS_FIELD_NUMBER, [manifest.errors, *items])
    pieces.extend(
        _entry(VersionedState.CUSTOM_FIELD_NUMBER, part.key, _join_custom(part, b"".join(pieces_of(part))))
        for part in by_kind(*CUSTOM)
    )
    return pieces


def timestamp(ns: int) -> bytes:
    """A serialized google.protobuf.Timestamp. `ns` since 1970, not negative."""
    seconds, nanos = divmod(ns, NS_PER_SECOND)
    return encode.unsigned(1, seconds) + encode.unsigned(2, nanos)


def _by_kind(parts: Iterable[Part]) -> Callable[..., list[Part]]:
    grouped: dict[int, list[Part]] = {}
    for part in parts:
        grouped.setdefault(part.kind, []).append(part)
    return lambda *kinds: [part for kind in kinds for part in grouped.get(kind, ())]


def _entry(number: int, key: str, value: bytes) -> bytes:
    """An entry of a map field, which is a message of key (1) and value (2)."""
    return encode.delimited(number, encode.text(1, key), encode.delimited(2, value))


def _join_custom(part: Part, data: bytes) -> bytes:
    if part.kind == PART_KIND_CUSTOM_BLOB:
        return part.shell + encode.delimited(CustomChannel.BLOB_FIELD_NUMBER, data)
    if part.kind == PART_KIND_CUSTOM_LIST:
        channel = CustomChannel.FromString(part.shell)
        if not channel.HasField("list"):
            return part.shell + encode.delimited(CustomChannel.LIST_FIELD_NUMBER, data)
        channel.list.MergeFromString(data)
        return channel.SerializeToString()
    return part.shell
