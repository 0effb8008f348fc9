"""What differs between two checkpoints, part by part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lockstitch.inspect import (
    Change,
    ChangeKind,
    Instance,
    ItemChange,
    PartChange,
    Piece,
    Plain,
    Work,
    compare,
    message,
    read_json,
    to_plain,
    word_diff,
)
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_ui.views.paths import readable
from lockstitch_ui.views.timeline import INTERNAL, short_name
from lockstitch_ui.views.tree import MAX_BYTES, one_line

MAX_CHANGES = 200
"""Changes that are shown of a part."""
MAX_VALUE = 1000
"""Characters of a value."""
MAX_CALLS = 5
"""Tool calls that are named of a message."""
MAX_WORD_DIFF = 8000
"""Characters of two texts that are compared by words."""
FIELDS = ("frontier", "versions_seen", "concurrency_limit", "ran_nodes", "skipped_nodes", "updated_channels", "header")
"""Parts that say how the run goes on, rather than what it knows."""


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One difference. old, new: in a line; "" where there is none. pieces: of both texts, word by word.

    note: why there is no more to say; "" where there is.
    """

    kind: ChangeKind
    path: str
    old: str = ""
    new: str = ""
    pieces: Sequence[Piece] = ()
    old_index: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShownPart:
    """The differences of a channel, or of a field. versions: old and new; "" where there is none."""

    name: str
    versions: tuple[str, str]
    changes: Sequence[ShownChange]
    more: int = 0

    @property
    def label(self) -> str:
        """The part as people call it."""
        return short_name(self.name)

    @property
    def is_internal(self) -> bool:
        """Whether it carries control, not data."""
        return self.name in FIELDS or (self.name.startswith("custom/") and self.label.startswith(INTERNAL))


def compared(old: Checkpoint, new: Checkpoint, work: Work | None = None) -> list[ShownPart]:
    """The differences: data first. Of channels that were loaded of neither, there are none.

    work: what the comparison may cost; None: `Work()`.
    """
    work = Work() if work is None else work
    parts = [_part(part, work) for part in compare(old, new, max_bytes=MAX_BYTES, work=work)]
    return sorted(parts, key=lambda part: part.is_internal)


def _part(part: PartChange, work: Work) -> ShownPart:
    before, after = part.versions or (None, None)
    all_changes = (change for item in part.changes for change in _item(part.name, item, work))
    shown = list(islice(all_changes, MAX_CHANGES))
    more = sum(len(item.changes) or 1 for item in part.changes) - len(shown)
    return ShownPart(part.name, (_text(before), _text(after)), shown, more)


def _item(name: str, item: ItemChange, work: Work) -> Iterator[ShownChange]:
    path: tuple[str | int, ...] = (short_name(name),)
    if item.key is not None:
        path = (*path, *(item.key if isinstance(item.key, tuple) else (item.key,)))
    if item.changes:
        for change in item.changes:
            yield _within(path, change, work)
    elif item.kind is ChangeKind.CHANGED:
        note = item.problem or _bytes_differ(item)
        yield _pair(path, item.kind, _plain(name, item.old), _plain(name, item.new), work, note)
    elif item.kind is ChangeKind.MOVED:
        yield ShownChange(item.kind, readable(path), new=_line(_plain(name, item.new)), old_index=item.old_index)
    else:
        yield _one_side(path, item.kind, _plain(name, item.old), _plain(name, item.new))


def _within(path: tuple[str | int, ...], change: Change, work: Work) -> ShownChange:
    place = (*path, *change.path)
    if change.kind is ChangeKind.CHANGED:
        return _pair(place, change.kind, change.old, change.new, work)
    if change.kind is ChangeKind.MOVED:
        return ShownChange(change.kind, readable(place), new=_line(change.new), old_index=change.old_index)
    return _one_side(place, change.kind, change.old, change.new)


def _one_side(path: tuple[str | int, ...], kind: ChangeKind, old: Plain, new: Plain) -> ShownChange:
    if kind is ChangeKind.ADDED:
        return ShownChange(kind, readable(path), new=_line(new))
    return ShownChange(kind, readable(path), old=_line(old))


def _pair(
    path: tuple[str | int, ...], kind: ChangeKind, old: Plain, new: Plain, work: Work, note: str = ""
) -> ShownChange:
    if isinstance(old, str) and isinstance(new, str) and len(old) + len(new) <= MAX_WORD_DIFF:
        return ShownChange(kind, readable(path), pieces=word_diff(old, new, work), note=note)
    return ShownChange(kind, readable(path), one_line(old, MAX_VALUE), one_line(new, MAX_VALUE), note=note)


def _line(value: Plain) -> str:
    """A value in a line; of a message what it says, and which tools it calls."""
    said = message(value) if isinstance(value, Instance) or _is_plain_message(value) else None
    if said is None:
        return one_line(value, MAX_VALUE)
    calls = [f"{call.name}({one_line(call.arguments, 200)})" for call in said.tool_calls[:MAX_CALLS]]
    return f"{said.role[:80]}: {said.content}"[:MAX_VALUE] + "".join(f"\n\u2192 {call}" for call in calls)


def _is_plain_message(value: Plain) -> bool:
    return isinstance(value, dict) and value.keys() == {"role", "content"}


def _bytes_differ(item: ItemChange) -> str:
    return "" if isinstance(item.old, int | list) else "the stored bytes differ, the value does not"


def _plain(name: str, value: Any) -> Plain:
    """A value of the contract as plain data. Entries of `extra` and `metadata` are JSON texts."""
    is_json = name in ("extra", "metadata") and isinstance(value, str)
    return read_json(value) if is_json else to_plain(value, MAX_BYTES)[0]


def _text(version: Any) -> str:
    return "" if version is None else str(version)
