"""What differs between two values, by paths; and between two texts, by words."""

import re
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from lockstitch.inspect._instance import Instance
from lockstitch.inspect._values import Plain, to_json

MAX_ITEMS = 2000
"""Longer lists, apart from their common beginning and end, are compared item by item at the same index."""
MAX_WORDS = 5000
MAX_DEPTH = 100
"""What is nested deeper is compared as a whole."""
MAX_WORK = 4_000_000
"""Steps of a comparison, about a second: a place that the matcher looks at, or a character of an item as text."""
_SIMPLE = frozenset({str, int, bool, type(None)})
_PREPARING = 6
"""Steps that the matcher needs for each item before it searches."""

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


class TooMuchWork(Exception):
    """A comparison would take more steps than are left."""


@dataclass(slots=True)
class Work:
    """How many steps a comparison may still take. Comparisons that belong together share one.

    refused: how often it was not enough, so that texts or values were compared as a whole, or lists item by item.

    >>> work = Work(left=3)
    >>> [piece.text for piece in word_diff("a red thread", "a blue string", work)], work.refused
    (['a red thread', 'a blue string'], 1)
    """

    left: int = MAX_WORK
    refused: int = 0

    def take(self, steps: int) -> None:
        """Take steps. Raises TooMuchWork, and counts it, where fewer are left."""
        if steps > self.left:
            self.refused += 1
            raise TooMuchWork
        self.left -= steps


def diff(old: Plain, new: Plain, work: Work | None = None) -> list[Change]:
    """What differs, in the order of the new value. Values of different types differ: 1, 1.0 and True as well.

    work: what the comparison may cost; None: `MAX_WORK` steps of its own. Beyond it, values are compared as a whole.

    >>> [(change.kind.value, change.path, change.new) for change in diff({"n": 1, "a": [1]}, {"n": 2, "a": [1, 3]})]
    [('changed', ('n',), 2), ('added', ('a', 1), 3)]
    """
    return list(_diff(old, new, (), Work() if work is None else work))


def word_diff(old: str, new: str, work: Work | None = None) -> list[Piece]:
    """Two texts, by words. Texts of more than 5,000 words are compared as a whole, and those that cost too much.

    work: what the comparison may cost; None: `MAX_WORK` steps of its own.

    >>> [(piece.kind and piece.kind.value, piece.text) for piece in word_diff("a red thread", "a blue thread")]
    [(None, 'a '), ('removed', 'red'), ('added', 'blue'), (None, ' thread')]
    """
    before, after = _words(old), _words(new)
    is_long = max(len(before), len(after)) > MAX_WORDS
    blocks = None if is_long else _blocks(before, after, Work() if work is None else work, MAX_WORDS)
    if blocks is None:
        before, after, blocks = [old], [new], [(range(1), range(1))]
    pieces, end = [], 0
    for old_places, new_places in blocks:
        pieces.append(Piece(None, "".join(after[end : new_places.start])))
        pieces.append(Piece(ChangeKind.REMOVED, "".join(before[old_places.start : old_places.stop])))
        pieces.append(Piece(ChangeKind.ADDED, "".join(after[new_places.start : new_places.stop])))
        end = new_places.stop
    pieces.append(Piece(None, "".join(after[end:])))
    return [piece for piece in pieces if piece.text]


def _diff(old: Plain, new: Plain, path: Path, work: Work) -> Iterator[Change]:
    if len(path) < MAX_DEPTH:
        if isinstance(old, Instance) and isinstance(new, Instance) and old.name == new.name:
            old, new = old.value, new.value
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _mappings(old, new, path, work)
            return
        if isinstance(old, list | tuple) and isinstance(new, list | tuple):
            yield from _lists(old, new, path, work)
            return
    if _key(old) != _key(new):
        yield Change(ChangeKind.CHANGED, path, old, new)


def _mappings(old: Mapping[object, Plain], new: Mapping[object, Plain], path: Path, work: Work) -> Iterator[Change]:
    for key, value in new.items():
        place = (*path, str(key))
        if key in old:
            yield from _diff(old[key], value, place, work)
        else:
            yield Change(ChangeKind.ADDED, place, new=value)
    for key, value in old.items():
        if key not in new:
            yield Change(ChangeKind.REMOVED, (*path, str(key)), old=value)


def _lists(old: Sequence[Plain], new: Sequence[Plain], path: Path, work: Work) -> Iterator[Change]:
    before, after = [_key(item) for item in old], [_key(item) for item in new]
    if before == after:
        return
    try:
        work.take(sum(map(len, (*before, *after))))  # lists within lists are written at each level
    except TooMuchWork:
        yield Change(ChangeKind.CHANGED, path, old, new)
        return
    edits = list_edits(before, after, work)
    found: dict[int, list[Change]] = {
        index: list(_diff(old[old_index], new[index], (*path, index), work)) for old_index, index in edits.changed
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


def list_edits(before: Sequence[Hashable], after: Sequence[Hashable], work: Work) -> Edits:
    """How one list becomes the other. Items that are replaced one for one count as changed.

    before, after: something for each item that is equal for equal items.
    """
    blocks = _blocks(before, after, work, MAX_ITEMS)
    if blocks is None:
        shorter = min(len(before), len(after))
        blocks = [(range(index, index + 1), range(index, index + 1)) for index in _different(before, after)]
        blocks.append((range(shorter, len(before)), range(shorter, len(after))))
    return _sorted_out(before, after, blocks)


_Blocks: TypeAlias = list[tuple[range, range]]


def _blocks(before: Sequence[Hashable], after: Sequence[Hashable], work: Work, limit: int) -> _Blocks | None:
    """The places of both that differ, in order; None: there are more than `limit`, or they cost too much."""
    start = _common(before, after)
    shorter = min(len(before), len(after)) - start
    end = min(shorter, _common(before[::-1], after[::-1]))
    left, right = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(left), len(right)) > limit:
        return None
    try:
        work.take(_PREPARING * (len(left) + len(right)))
        found = _Matcher(left, right, work).get_opcodes()
    except TooMuchWork:
        return None
    return [(range(start + a, start + b), range(start + c, start + d)) for tag, a, b, c, d in found if tag != "equal"]


class _Matcher(SequenceMatcher[Hashable]):
    """The matcher of the standard library, which takes from `work` the steps that each search will make."""

    def __init__(self, before: Sequence[Hashable], after: Sequence[Hashable], work: Work) -> None:
        super().__init__(None, before, after, autojunk=False)
        places = self.b2j  # type: ignore[attr-defined]  # documented in difflib's source: the places of each item
        self._costs = list(accumulate((1 + len(places.get(item, ())) for item in before), initial=0))
        self._work = work

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        """As in the standard library. Raises TooMuchWork."""
        end = len(self._costs) - 1 if ahi is None else ahi
        self._work.take(self._costs[end] - self._costs[alo])
        return super().find_longest_match(alo, ahi, blo, bhi)


def _different(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[int]:
    """Where two lists have different items at the same index."""
    return [index for index, (left, right) in enumerate(zip(one, other, strict=False)) if left != right]


def _sorted_out(before: Sequence[Hashable], after: Sequence[Hashable], different: _Blocks) -> Edits:
    """What became of the items in these places: what is there again elsewhere has moved."""
    gone: dict[Hashable, deque[int]] = {}
    for old_index in (index for places, _ in different for index in places):
        gone.setdefault(before[old_index], deque()).append(old_index)
    moved = {}
    for index in (index for _, places in different for index in places):
        if same := gone.get(after[index]):
            moved[index] = same.popleft()
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
    if type(value) in _SIMPLE:  # lists have very many of these
        return f"{type(value).__name__} {value}"
    return f"{type(value).__name__} {to_json(value, sort_keys=True)}"


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
