"""Deltas: from the contract's StateDelta to edits of a manifest's parts."""

from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.core.checkpoint import detach_items, split_custom
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.operations import CustomDelta, DraftDelta, ExtraDelta, ListDelta
from lockstitch_server.core.parts import CUSTOM, DraftPart, PartName
from lockstitch_server.core.wire import MOST_IN_A_BYTE, VARINT, tag, unsigned
from lockstitch_server.records.v1.record_pb2 import Manifest, Part, PartKind

MESSAGES: PartName = (PartKind.PART_KIND_MESSAGES, "")
ERRORS: PartName = (PartKind.PART_KIND_ERRORS, "")
VERSION = tag(1, VARINT)
"""Of a channel's version."""

_Versioned = TypeVar("_Versioned", pb.MessagesChannel, pb.ErrorsChannel, pb.ExtrasChannel)


class OldPart(Protocol):
    """A part of a base, be it a `Part` or a `StoredPart`."""

    @property
    def kind(self) -> "PartKind.ValueType": ...
    @property
    def key(self) -> str: ...
    @property
    def shell(self) -> bytes: ...


P = TypeVar("P", bound=OldPart)


class Edit(NamedTuple, Generic[P]):
    """A part of the new state: what it was, or `put` in its place, then `appended`."""

    name: PartName
    shell: bytes = b""
    old: P | None = None
    put: bytes | None = None
    appended: bytes = b""


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


def merge(base: Manifest, delta: DraftDelta) -> tuple[Manifest, list[Edit[Part]]]:
    """The new manifest, without parts, and what becomes of each part."""
    manifest = Manifest()
    manifest.CopyFrom(base)
    manifest.ClearField("parts")
    if delta.messages is not None:
        manifest.messages = with_version(pb.MessagesChannel, base.messages, delta.messages.version)
    if delta.errors is not None:
        manifest.errors = with_version(pb.ErrorsChannel, base.errors, delta.errors.version)
    if delta.extra is not None:
        manifest.extra = with_version(pb.ExtrasChannel, base.extra, delta.extra.version)
    return manifest, merge_parts(base.parts, delta)


def merge_parts(base: Iterable[P], delta: DraftDelta) -> list[Edit[P]]:
    """What becomes of each part. Fails with DELTA_MISMATCH."""
    edits = {(part.kind, part.key): Edit((part.kind, part.key), part.shell, part) for part in base}
    if delta.messages is not None:
        _append(edits, MESSAGES, delta.messages.appended)
    if delta.errors is not None:
        _append(edits, ERRORS, delta.errors.appended)
    if delta.extra is not None:
        for key in delta.extra.removed:
            edits.pop((PartKind.PART_KIND_EXTRA, key), None)
        for part in delta.extra.put:
            edits[part.name] = Edit(part.name, old=edits[part.name].old if part.name in edits else None, put=part.data)
    for name in delta.removed_custom:
        _remove_custom(edits, name)
    for change in delta.custom:
        _merge_custom(edits, change)
    return [edits[name] for name in sorted(edits)]


def with_version(kind: type[_Versioned], shell: bytes, version: int) -> bytes:
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


def _merge_custom(edits: dict[PartName, Edit[P]], delta: CustomDelta) -> None:
    before = _remove_custom(edits, delta.name)
    shell = delta.part.shell if before is None else _merged_shell(before.shell, delta)
    same = before is not None and (delta.change == "version" or before.name == delta.part.name)
    if before is not None and same:
        put = delta.part.data if delta.change == "put" else None
        appended = delta.part.data if delta.change == "append" else b""
        edits[before.name] = Edit(before.name, shell, before.old, put, appended)
    elif delta.change == "append" and before is not None and before.name[0] == PartKind.PART_KIND_CUSTOM_BLOB:
        raise Failure(
            Reason.DELTA_MISMATCH,
            f"delta.custom[{delta.name!r}].append: the base holds a blob under this name; send the full state",
            field="delta.custom",
        )
    else:
        edits[delta.part.name] = Edit(delta.part.name, shell, put=delta.part.data)


def _merged_shell(base: bytes, delta: CustomDelta) -> bytes:
    """The base's custom channel, without its value, with the delta's version; what nobody knows stays in it."""
    channel = pb.CustomChannel.FromString(base)
    if delta.change == "put":
        channel.ClearField("list")
    channel.version = delta.version
    channel.MergeFromString(delta.part.shell)
    return channel.SerializeToString()


def _remove_custom(edits: dict[PartName, Edit[P]], name: str) -> Edit[P] | None:
    found = [edits.pop((kind, name)) for kind in CUSTOM if (kind, name) in edits]
    return found[0] if found else None


def _append(edits: dict[PartName, Edit[P]], name: PartName, appended: bytes) -> None:
    before = edits.get(name)
    if before is not None:
        edits[name] = Edit(name, before.shell, before.old, appended=appended)
    elif appended:
        edits[name] = Edit(name, put=appended)


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
