"""What differs between two checkpoints, as data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import starmap, zip_longest
from typing import Any, Literal

from google.protobuf.message import Message

from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, VersionedState
from lockstitch_server.cli.exact_json import JsonText

CUSTOM = "custom/"
"""Before the names of custom channels."""

Kind = Literal["added", "removed", "changed"]
Channel = Literal["messages", "extra", "errors"]
# Of a list an index: in the new list, or in the old one for what was removed. Of a map a key. None: the whole thing.
Key = int | str | tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different. `old` is None for what was added, `new` for what was removed."""

    kind: Kind
    key: Key
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a checkpoint that differs. `versions`: the channel's, old and new; None where there is no channel."""

    name: str
    changes: Sequence[Change]
    versions: tuple[Any, Any] | None = None


def difference(old: Checkpoint, new: Checkpoint) -> list[Section]:
    """The parts that differ, the state first. Who they are (session, ids, steps, times) is not compared."""
    found = [*_state(old.state, new.state), *_scheduling(old, new), *_step(old, new)]
    return [section for section in found if section.changes or _versions_differ(section)]


def _versions_differ(section: Section) -> bool:
    return section.versions is not None and section.versions[0] != section.versions[1]


def _state(old: VersionedState, new: VersionedState) -> Iterator[Section]:
    messages = _lists(old.messages.items, new.messages.items)
    extra = _maps(_json_texts(old.extra.entries), _json_texts(new.extra.entries))
    errors = _lists(old.errors.items, new.errors.items)
    yield Section("messages", list(messages), _versions(old, new, "messages"))
    yield Section("extra", list(extra), _versions(old, new, "extra"))
    yield Section("errors", list(errors), _versions(old, new, "errors"))
    for name in sorted({*old.custom, *new.custom}):
        yield _custom(f"{CUSTOM}{name}", _get(old.custom, name), _get(new.custom, name))


def _versions(old: VersionedState, new: VersionedState, name: Channel) -> tuple[int | None, int | None]:
    before, after = (getattr(state, name).version if state.HasField(name) else None for state in (old, new))
    return before, after


def _json_texts(texts: Mapping[str, str]) -> dict[str, JsonText]:
    return {key: JsonText(text) for key, text in texts.items()}


def _get(channels: Mapping[str, CustomChannel], name: str) -> CustomChannel | None:
    return channels[name] if name in channels else None  # noqa: SIM401 - .get() of a protobuf map would do no better


def _custom(name: str, old: CustomChannel | None, new: CustomChannel | None) -> Section:
    versions = (old.version if old else None, new.version if new else None)
    before, after = old or CustomChannel(), new or CustomChannel()
    if before.WhichOneof("value") == after.WhichOneof("value") == "list":
        return Section(name, list(_lists(before.list.items, after.list.items)), versions)
    return Section(name, list(_whole(_value(before), _value(after))), versions)


def _value(channel: CustomChannel) -> Message | None:
    name = channel.WhichOneof("value")
    return None if name is None else getattr(channel, name)


def _scheduling(old: Checkpoint, new: Checkpoint) -> Iterator[Section]:
    yield Section("frontier", list(_whole(list(old.frontier), list(new.frontier))))
    yield Section("versions_seen", list(_maps(_seen(old), _seen(new))))
    yield Section("concurrency_limit", list(_whole(old.concurrency_limit, new.concurrency_limit)))


def _seen(checkpoint: Checkpoint) -> dict[tuple[str, str], int]:
    return {
        (node, channel): version
        for node, seen in checkpoint.versions_seen.items()
        for channel, version in seen.versions.items()
    }


def _step(old: Checkpoint, new: Checkpoint) -> Iterator[Section]:
    for name in ("ran_nodes", "skipped_nodes", "updated_channels"):
        yield Section(name, list(_whole(list(getattr(old, name)), list(getattr(new, name)))))
    yield Section("metadata", list(_maps(_json_texts(old.metadata), _json_texts(new.metadata))))
    before, after = (one.header if one.HasField("header") else None for one in (old, new))
    yield Section("header", list(_whole(before, after)))


def _whole(old: Any, new: Any) -> Iterator[Change]:
    if old != new:
        kind: Kind = "added" if old is None else "removed" if new is None else "changed"
        yield Change(kind, None, old, new)


def _maps(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[Change]:
    for key in sorted({*old, *new}):
        if key not in old:
            yield Change("added", key, None, new[key])
        elif key not in new:
            yield Change("removed", key, old[key], None)
        elif old[key] != new[key]:
            yield Change("changed", key, old[key], new[key])


def _lists(old: Sequence[Message], new: Sequence[Message]) -> Iterator[Change]:
    """What happened to the items. Lists here mostly grow, so equal beginnings and ends are set aside first."""
    before, after = _bytes(old), _bytes(new)
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    middle = SequenceMatcher(None, before[start : len(before) - end], after[start : len(after) - end], autojunk=False)
    for operation, old_from, old_to, new_from, new_to in middle.get_opcodes():
        if operation != "equal":
            lost = [(start + at, old[start + at]) for at in range(old_from, old_to)]
            won = [(start + at, new[start + at]) for at in range(new_from, new_to)]
            yield from starmap(_list_change, zip_longest(lost, won))


def _bytes(items: Iterable[Message]) -> list[bytes]:
    return [item.SerializeToString(deterministic=True) for item in items]


def _common(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many items are equal from the beginning on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _list_change(lost: tuple[int, Message] | None, won: tuple[int, Message] | None) -> Change:
    if lost is None:
        assert won is not None
        return Change("added", won[0], None, won[1])
    if won is None:
        return Change("removed", lost[0], lost[1], None)
    return Change("changed", won[0], lost[1], won[1])
