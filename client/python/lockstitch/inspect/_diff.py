"""What differs between two values, by paths; and between two texts, by words."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from lockstitch.inspect._instance import Instance
from lockstitch.inspect._values import Plain, to_json

MAX_ITEMS = 2000
"""Longer lists, apart from their common beginning and end, are compared item by item at the same index."""
MAX_WORDS = 5000
MAX_DEPTH = 100
"""What is nested deeper is compared as a whole."""

Path: TypeAlias = tuple[str | int, ...]
"""Keys of mappings, fields of objects, indexes of lists."""


class ChangeKind(StrEnum):
    """Kinds of changes."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    path: where the value stands in the new value; in the old one, where it was REMOVED.
    old, new: the value before and after; None where there is none. old_index: where a list's MOVED item stood.
    """

    kind: ChangeKind
    path: Path
    old: Plain = None
    new: Plain = None
    old_index: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text that is in both texts (kind None), only in the new one (ADDED), or only in the old (REMOVED)."""

    kind: ChangeKind | None
    text: str


def diff(old: Plain, new: Plain) -> list[Change]:
    """What differs, in the order of the new value. Values of different types differ: 1, 1.0 and True as well.

    >>> [(change.kind.value, change.path, change.new) for change in diff({"n": 1, "a": [1]}, {"n": 2, "a": [1, 3]})]
    [('changed', ('n',), 2), ('added', ('a', 1), 3)]
    """
    return list(_diff(old, new, ()))


def word_diff(old: str, new: str) -> list[Piece]:
    """Two texts, by words. Texts of more than 5,000 words are compared as a whole.

    >>> [(piece.kind and piece.kind.value, piece.text) for piece in word_diff("a red thread", "a blue thread")]
    [(None, 'a '), ('removed', 'red'), ('added', 'blue'), (None, ' thread')]
    """
    before, after = _words(old), _words(new)
    if max(len(before), len(after)) > MAX_WORDS:
        before, after = [old], [new]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    pieces = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(Piece(None, "".join(before[a:b])))
        else:
            pieces.append(Piece(ChangeKind.REMOVED, "".join(before[a:b])))
            pieces.append(Piece(ChangeKind.ADDED, "".join(after[c:d])))
    return [piece for piece in pieces if piece.text]


def _diff(old: Plain, new: Plain, path: Path) -> Iterator[Change]:
    if len(path) < MAX_DEPTH:
        if isinstance(old, Instance) and isinstance(new, Instance) and old.name == new.name:
            old, new = old.value, new.value
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _mappings(old, new, path)
            return
        if isinstance(old, list | tuple) and isinstance(new, list | tuple):
            yield from _lists(old, new, path)
            return
    if _key(old) != _key(new):
        yield Change(ChangeKind.CHANGED, path, old, new)


def _mappings(old: Mapping[object, Plain], new: Mapping[object, Plain], path: Path) -> Iterator[Change]:
    for key, value in new.items():
        place = (*path, str(key))
        if key in old:
            yield from _diff(old[key], value, place)
        else:
            yield Change(ChangeKind.ADDED, place, new=value)
    for key, value in old.items():
        if key not in new:
            yield Change(ChangeKind.REMOVED, (*path, str(key)), old=value)


class _Edits(NamedTuple):
    """What became of the items of a list, by indexes."""

    changed: list[tuple[int, int]]
    removed: list[int]
    added: list[int]


def _lists(old: Sequence[Plain], new: Sequence[Plain], path: Path) -> Iterator[Change]:
    edits = list_edits([_key(item) for item in old], [_key(item) for item in new])
    found: dict[int, list[Change]] = {
        index: list(_diff(old[old_index], new[index], (*path, index))) for old_index, index in edits.changed
    }
    for index in edits.added:
        found[index] = [Change(ChangeKind.ADDED, (*path, index), new=new[index])]
    for old_index, index in edits.moved:
        found[index] = [Change(ChangeKind.MOVED, (*path, index), new[index], new[index], old_index)]
    for index in sorted(found):
        yield from found[index]
    for index in edits.removed:
        yield Change(ChangeKind.REMOVED, (*path, index), old=old[index])


class Edits(NamedTuple):
    """What became of the items of a list, by indexes: those of the old list first where there are two."""

    changed: list[tuple[int, int]]
    moved: list[tuple[int, int]]
    removed: list[int]
    added: list[int]


def list_edits(before: Sequence[Hashable], after: Sequence[Hashable]) -> Edits:
    """How one list becomes the other. Items that are replaced one for one count as changed.

    before, after: something for each item that is equal for equal items.
    """
    start = _common(before, after)
    shorter = min(len(before), len(after)) - start
    end = min(shorter, _common(before[::-1], after[::-1]))
    left, right = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(left), len(right)) > MAX_ITEMS:
        blocks = [("replace", index, index + 1, index, index + 1) for index in _different(left, right)]
        shorter = min(len(left), len(right))
        blocks.append(("replace", shorter, len(left), shorter, len(right)))
    else:
        blocks = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()  # type: ignore[assignment]  # literals
    different = [
        (range(start + a, start + b), range(start + c, start + d)) for tag, a, b, c, d in blocks if tag != "equal"
    ]
    return _sorted_out(before, after, different)


def _different(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[int]:
    """Where two lists have different items at the same index."""
    return [index for index, (left, right) in enumerate(zip(one, other, strict=False)) if left != right]


def _sorted_out(
    before: Sequence[Hashable], after: Sequence[Hashable], different: Sequence[tuple[range, range]]
) -> Edits:
    """What became of the items in these places: what is there again elsewhere has moved."""
    gone: dict[Hashable, list[int]] = {}
    for old_index in (index for places, _ in different for index in places):
        gone.setdefault(before[old_index], []).append(old_index)
    moved = {}
    for index in (index for _, places in different for index in places):
        if same := gone.get(after[index]):
            moved[index] = same.pop(0)
    left = set(moved.values())
    edits = Edits([], [(old_index, index) for index, old_index in moved.items()], [], [])
    for old_places, places in different:
        old_indexes = [index for index in old_places if index not in left]
        indexes = [index for index in places if index not in moved]
        pairs = min(len(old_indexes), len(indexes))
        edits.changed.extend(zip(old_indexes[:pairs], indexes[:pairs], strict=True))
        edits.removed.extend(old_indexes[pairs:])
        edits.added.extend(indexes[pairs:])
    return edits


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """How many items both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _key(value: Plain) -> str:
    """Equal for equal values, and only for them."""
    return f"{type(value).__name__} {to_json(value, sort_keys=True)}"


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
