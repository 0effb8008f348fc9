"""What differs between two checkpoints: by channel, by item, and within an item by path."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from google.protobuf.message import Message as Protobuf

from lockstitch.inspect._diff import Change, ChangeKind, Edits, Work, diff, list_edits
from lockstitch.inspect._plain import to_plain
from lockstitch.inspect._values import MAX_BYTES, is_chunk, items, read_json, to_json
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, VersionedState

CUSTOM = "custom/"
"""Before the names of custom channels, as in the names of channels that a load selects."""

Key: TypeAlias = int | str | tuple[str, str] | None
"""Of a list an index: in the new list, or in the old one for what was removed. Of a map a key. None: the whole."""


_Within: TypeAlias = Callable[[Any, Any], tuple[list[Change], str]]


class _Limits(NamedTuple):
    """What a comparison may cost. max_bytes: of a value that is decoded."""

    max_bytes: int
    work: Work


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One item of a checkpoint that differs.

    old, new: as the contract has them (a Message, a TypedBlob, a JSON text, ...), or plain data, where several items of
        a list are stored together; None where there is none.
    old_index: where a MOVED item of a list stood.
    changes: what differs within it, as plain data; empty unless it is CHANGED, and where only its bytes differ.
    problem: why what differs within it is not known; "" where it is.
    """

    kind: ChangeKind
    key: Key
    old: Any = None
    new: Any = None
    old_index: int | None = None
    changes: Sequence[Change] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PartChange:
    """A part of a checkpoint that differs: a channel of its state, or a field.

    name: "messages", "extra", "errors", "custom/<name>", or a field's name.
    versions: the channel's, old and new; None where there is no channel; as a whole None for what is no channel.
    """

    name: str
    changes: Sequence[ItemChange]
    versions: tuple[Any, Any] | None = None


def compare(
    old: Checkpoint, new: Checkpoint, *, max_bytes: int = MAX_BYTES, work: Work | None = None
) -> list[PartChange]:
    """The parts that differ, the state first; session, ids, steps and times are not compared.

    max_bytes: a larger value is compared as a whole. work: what all of it may cost; None: `Work()`.

    >>> before, after = Checkpoint(), Checkpoint()
    >>> before.state.extra.entries["plan"], after.state.extra.entries["plan"] = '{"n": 1}', '{"n": 2}'
    >>> [(change.path, change.old, change.new) for change in compare(before, after)[0].changes[0].changes]
    [(('n',), 1, 2)]
    """
    limits = _Limits(max_bytes, Work() if work is None else work)
    found = [*_state(old.state, new.state, limits), *_fields(old, new, limits)]
    return [part for part in found if part.changes or (part.versions and part.versions[0] != part.versions[1])]


def _state(old: VersionedState, new: VersionedState, limits: _Limits) -> Iterator[PartChange]:
    messages = _list(old.messages.items, new.messages.items, limits)
    extra = _map(old.extra.entries, new.extra.entries, limits, is_json=True)
    errors = _list(old.errors.items, new.errors.items, limits)
    yield PartChange("messages", messages, _versions(old, new, "messages"))
    yield PartChange("extra", extra, _versions(old, new, "extra"))
    yield PartChange("errors", errors, _versions(old, new, "errors"))
    for name in sorted({*old.custom, *new.custom}):
        yield _custom(CUSTOM + name, _channel(old.custom, name), _channel(new.custom, name), limits)


def _versions(
    old: VersionedState, new: VersionedState, name: Literal["messages", "extra", "errors"]
) -> tuple[int | None, int | None]:
    before, after = (getattr(state, name).version if state.HasField(name) else None for state in (old, new))
    return before, after


def _channel(channels: Mapping[str, CustomChannel], name: str) -> CustomChannel | None:
    return channels[name] if name in channels else None  # noqa: SIM401 - .get() of a protobuf map would do no better


def _custom(name: str, old: CustomChannel | None, new: CustomChannel | None, limits: _Limits) -> PartChange:
    versions = (old.version if old else None, new.version if new else None)
    before, after = old or CustomChannel(), new or CustomChannel()
    if before.WhichOneof("value") == after.WhichOneof("value") == "list":
        if any(map(is_chunk, [*before.list.items, *after.list.items])):
            return PartChange(name, _values(before, after, limits), versions)
        return PartChange(name, _list(before.list.items, after.list.items, limits), versions)
    return PartChange(name, _whole(_value(before), _value(after), limits), versions)


def _value(channel: CustomChannel) -> Protobuf | None:
    name = channel.WhichOneof("value")
    return None if name is None else getattr(channel, name)


def _fields(old: Checkpoint, new: Checkpoint, limits: _Limits) -> Iterator[PartChange]:
    yield PartChange("frontier", _whole(list(old.frontier), list(new.frontier), limits))
    yield PartChange("versions_seen", _map(_seen(old), _seen(new), limits))
    yield PartChange("concurrency_limit", _whole(old.concurrency_limit, new.concurrency_limit, limits))
    for name in ("ran_nodes", "skipped_nodes", "updated_channels"):
        yield PartChange(name, _whole(list(getattr(old, name)), list(getattr(new, name)), limits))
    yield PartChange("metadata", _map(old.metadata, new.metadata, limits, is_json=True))
    before, after = (one.header if one.HasField("header") else None for one in (old, new))
    yield PartChange("header", _whole(before, after, limits))


def _seen(checkpoint: Checkpoint) -> dict[tuple[str, str], int]:
    return {
        (node, channel): version
        for node, seen in checkpoint.versions_seen.items()
        for channel, version in seen.versions.items()
    }


def _whole(old: Any, new: Any, limits: _Limits) -> list[ItemChange]:
    if old == new:
        return []
    if old is None or new is None:
        return [ItemChange(ChangeKind.ADDED if old is None else ChangeKind.REMOVED, None, old, new)]
    changes, problem = _within(old, new, limits)
    return [ItemChange(ChangeKind.CHANGED, None, old, new, None, changes, problem)]


def _map(old: Mapping[Any, Any], new: Mapping[Any, Any], limits: _Limits, *, is_json: bool = False) -> list[ItemChange]:
    changes = []
    for key in sorted({*old, *new}):
        if key not in old:
            changes.append(ItemChange(ChangeKind.ADDED, key, None, new[key]))
        elif key not in new:
            changes.append(ItemChange(ChangeKind.REMOVED, key, old[key], None))
        elif old[key] != new[key]:
            before, after = (read_json(each[key]) if is_json else each[key] for each in (old, new))
            changes.append(
                ItemChange(ChangeKind.CHANGED, key, old[key], new[key], None, diff(before, after, limits.work))
            )
    return changes


def _list(old: Sequence[Protobuf], new: Sequence[Protobuf], limits: _Limits) -> list[ItemChange]:
    edits = list_edits(_serialized(old), _serialized(new), limits.work)
    return _item_changes(edits, old, new, lambda one, other: _within(one, other, limits))


def _item_changes(edits: Edits, old: Sequence[Any], new: Sequence[Any], within: _Within) -> list[ItemChange]:
    found = {}
    for old_index, index in edits.changed:
        changes, problem = within(old[old_index], new[index])
        found[index] = ItemChange(ChangeKind.CHANGED, index, old[old_index], new[index], None, changes, problem)
    for index in edits.added:
        found[index] = ItemChange(ChangeKind.ADDED, index, None, new[index])
    for old_index, index in edits.moved:
        found[index] = ItemChange(ChangeKind.MOVED, index, new[index], new[index], old_index)
    removed = [ItemChange(ChangeKind.REMOVED, index, old[index], None) for index in edits.removed]
    return [*(found[index] for index in sorted(found)), *removed]


def _values(old: CustomChannel, new: CustomChannel, limits: _Limits) -> list[ItemChange]:
    """Changes of lists of which several items are stored together: there is no blob of each."""
    before, after = ([item.value for item in items(each, max_bytes=limits.max_bytes)] for each in (old, new))
    edits = list_edits([to_json(value) for value in before], [to_json(value) for value in after], limits.work)
    return _item_changes(edits, before, after, lambda one, other: (diff(one, other, limits.work), ""))


def _serialized(items: Sequence[Protobuf]) -> list[Hashable]:
    return [item.SerializeToString(deterministic=True) for item in items]


def _within(old: Any, new: Any, limits: _Limits) -> tuple[list[Change], str]:
    """What differs within an item, and why that is not known."""
    (before, problem), (after, other) = to_plain(old, limits.max_bytes), to_plain(new, limits.max_bytes)
    return ([], problem or other) if problem or other else (diff(before, after, limits.work), "")
