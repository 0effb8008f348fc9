"""Deltas: from the contract's StateDelta to plain tuples, and channels without their items with another version."""

from typing import TypeVar

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.core.format.checkpoint import detach_items, split_custom
from lockstitch_server.core.format.manifest import Skeleton
from lockstitch_server.core.format.parts import DraftPart
from lockstitch_server.core.planning.operations import CustomDelta, DraftDelta, ExtraDelta, ListDelta
from lockstitch_server.core.wire.encode import MOST_IN_A_BYTE, VARINT, tag, unsigned
from lockstitch_server.records.v1.record_pb2 import PartKind

VERSION = tag(1, VARINT)
"""Of a channel's version."""

_Versioned = TypeVar("_Versioned", pb.MessagesChannel, pb.ErrorsChannel, pb.ExtrasChannel)


def split_delta(delta: pb.StateDelta, base_id: str, base_revision: int, digest: bytes) -> DraftDelta:
    """Take a valid delta apart. Empties it."""
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


def merge_skeleton(base: Skeleton, delta: DraftDelta) -> Skeleton:
    """The base's skeleton with the delta's versions."""
    shell, messages, extra, errors = base
    if delta.messages is not None:
        messages = _with_version(pb.MessagesChannel, messages or b"", delta.messages.version)
    if delta.extra is not None:
        extra = _with_version(pb.ExtrasChannel, extra or b"", delta.extra.version)
    if delta.errors is not None:
        errors = _with_version(pb.ErrorsChannel, errors or b"", delta.errors.version)
    return Skeleton(shell, messages, extra, errors)


def _with_version(kind: type[_Versioned], shell: bytes, version: int) -> bytes:
    """A channel without its items, with another version."""
    if _is_version_only(shell):
        return unsigned(1, version)
    channel = kind.FromString(shell)
    channel.version = version
    return channel.SerializeToString()


def _is_version_only(shell: bytes) -> bool:
    if not shell:
        return True
    last = 1
    while shell[last] > MOST_IN_A_BYTE:
        last += 1
    return shell[:1] == VERSION and last == len(shell) - 1


def merged_shell(base: bytes, delta: CustomDelta) -> bytes:
    """The base's custom channel, without its value, with the delta's version; what nobody knows stays in it."""
    channel = pb.CustomChannel.FromString(base)
    if delta.change == "put":
        channel.ClearField("list")
    channel.version = delta.version
    channel.MergeFromString(delta.part.shell)
    return channel.SerializeToString()


def _split_list(delta: pb.MessagesDelta | pb.ErrorsDelta) -> ListDelta:
    channel: pb.MessagesChannel | pb.ErrorsChannel
    if isinstance(delta, pb.MessagesDelta):
        channel = pb.MessagesChannel(items=delta.append)
    else:
        channel = pb.ErrorsChannel(items=delta.append)
    return ListDelta(delta.version, channel.SerializeToString())


def _split_extra(delta: pb.ExtrasDelta) -> ExtraDelta:
    put = [DraftPart(PartKind.PART_KIND_EXTRA, key, delta.set[key].encode()) for key in sorted(delta.set)]
    return ExtraDelta(delta.version, put, frozenset(delta.remove))


def _split_custom(name: str, delta: pb.CustomDelta) -> CustomDelta:
    channel = pb.CustomChannel(version=delta.version)
    change = delta.WhichOneof("change")
    if change == "append":
        shell = channel.SerializeToString()
        _, items = detach_items(delta.append)
        return CustomDelta(name, delta.version, "append", DraftPart(PartKind.PART_KIND_CUSTOM_LIST, name, items, shell))
    if change == "blob":
        channel.blob.CopyFrom(delta.blob)
    elif change == "list":
        channel.list.CopyFrom(delta.list)
    return CustomDelta(name, delta.version, "put" if change else "version", split_custom(name, channel))
