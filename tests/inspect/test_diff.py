"""What differs between two values, and between two texts."""

import random
from difflib import SequenceMatcher
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockstitch.inspect import Change, ChangeKind, Instance, Work, diff, word_diff
from lockstitch.inspect._diff import MAX_ITEMS, MAX_WORDS, MAX_WORK

KEYS = st.sampled_from("abc")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0]) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(VALUES, VALUES)
@example({"a": 1}, {"a": 1.0})
@example([1, 2, 3], [3, 1, 2])
def test_differences_are_where_they_are_said_to_be(old: Any, new: Any) -> None:
    changes = diff(old, new)
    assert (not changes) == same(old, new)
    for change in changes:
        match change.kind:
            case ChangeKind.ADDED:
                assert same(at(new, change.path), change.new)
            case ChangeKind.REMOVED:
                assert change.old is None or change.old == change.old
            case ChangeKind.CHANGED:
                assert same(at(new, change.path), change.new)
                assert not same(change.old, change.new)
            case ChangeKind.MOVED:
                assert same(at(new, change.path), change.new)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_lists_can_be_made_from_their_changes(old: list[int], new: list[int]) -> None:
    """What was kept keeps its order, and everything else is told."""
    changes = diff(old, new)
    told = {change.path[0]: change for change in changes if change.kind is not ChangeKind.REMOVED}
    removed = {change.path[0] for change in changes if change.kind is ChangeKind.REMOVED}
    moved = {change.old_index for change in changes if change.kind is ChangeKind.MOVED}
    for change in changes:
        if change.kind is ChangeKind.REMOVED:
            assert old[int(change.path[0])] == change.old
        if change.kind is ChangeKind.MOVED:
            assert change.old_index is not None
            assert old[change.old_index] == change.new
    staying = [index for index in range(len(old)) if index not in removed | moved]
    kept = iter(old[index] for index in staying)
    rebuilt = []
    for index in range(len(new)):
        found = told.get(index)
        if found is None:
            rebuilt.append(next(kept))
        elif found.kind is ChangeKind.CHANGED:
            assert next(kept) == found.old
            rebuilt.append(found.new)
        else:
            rebuilt.append(found.new)
    assert rebuilt == new
    assert list(kept) == []


def test_paths_into_objects() -> None:
    old, new = (Instance("m", "Order", {"lines": [{"item": "thread", "count": count}]}) for count in (1, 2))
    assert diff(old, new) == [Change(ChangeKind.CHANGED, ("lines", 0, "count"), 1, 2)]
    other = Instance("m", "Offer", {})
    assert diff(old, other) == [Change(ChangeKind.CHANGED, (), old, other)]


def test_an_item_that_moves() -> None:
    assert diff(["a", "b", "c", "d"], ["d", "a", "b", "c"]) == [Change(ChangeKind.MOVED, (0,), "d", "d", 3)]


def test_long_lists() -> None:
    old = [f"{number}" for number in range(100_000)]
    new = [*old[:50_000], "new", *old[50_000:]]
    assert diff(old, new) == [Change(ChangeKind.ADDED, (50_000,), new="new")]
    other = [f"other {number}" for number in range(MAX_ITEMS + 1)]
    assert [change.kind for change in diff(old[: MAX_ITEMS + 1], other)] == [ChangeKind.CHANGED] * (MAX_ITEMS + 1)


@given(st.text("ab \n.", max_size=40), st.text("ab \n.", max_size=40))
def test_words_put_together_are_the_texts(old: str, new: str) -> None:
    pieces = word_diff(old, new)
    assert "".join(piece.text for piece in pieces if piece.kind is not ChangeKind.ADDED) == old
    assert "".join(piece.text for piece in pieces if piece.kind is not ChangeKind.REMOVED) == new
    assert (old == new) == all(piece.kind is None for piece in pieces)


def test_very_many_words() -> None:
    old = "a " * MAX_WORDS
    assert [(piece.kind, piece.text) for piece in word_diff(old, f"{old}b")] == [
        (ChangeKind.REMOVED, old),
        (ChangeKind.ADDED, f"{old}b"),
    ]


def test_texts_share_the_work_of_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of few kinds stand at many places, and the matcher looks at each of them, again and again."""
    looked_at = 0
    search = SequenceMatcher.find_longest_match

    def counting(self: Any, *bounds: int) -> Any:
        nonlocal looked_at
        looked_at += sum(len(self.b2j.get(item, ())) for item in self.a[bounds[0] : bounds[1]])
        return search(self, *bounds)

    monkeypatch.setattr(SequenceMatcher, "find_longest_match", counting)
    source, work = random.Random(1), Work()
    texts = [" ".join(source.choices("ab", k=400)) for _ in range(60)]
    found = [word_diff(old, new, work) for old, new in zip(texts[::2], texts[1::2], strict=True)]
    assert any(len(pieces) > 2 for pieces in found)
    assert 0 < looked_at <= MAX_WORK
    assert work.refused > 0
    assert [(piece.kind, piece.text) for piece in found[-1]] == [
        (ChangeKind.REMOVED, texts[-2]),
        (ChangeKind.ADDED, texts[-1]),
    ]


def test_lists_beyond_the_work_are_compared_item_by_item() -> None:
    source, work = random.Random(1), Work(left=100_000)
    old, new = (source.choices([0, 1], k=1000) for _ in range(2))
    changes = diff(old, new, work)
    assert work.refused == 1
    for change in changes:
        (index,) = change.path
        old[int(index)] = change.new
    assert old == new


def test_lists_within_lists_are_written_as_text_at_each_level_only_while_work_is_left() -> None:
    def nested(end: int) -> Any:
        value: Any = [end] * 1000
        for _ in range(90):
            value = [[], value]
        return value

    work = Work(left=50_000)
    (change,) = diff(nested(1), nested(2), work)
    assert (change.kind, work.refused) == (ChangeKind.CHANGED, 1)
    assert 1 < len(change.path) < 90


def test_an_item_that_moved_beside_others_that_changed() -> None:
    assert diff([1, 2, 3, {"x": None}], [3, 1, 2, {"x": True}]) == [
        Change(ChangeKind.MOVED, (0,), 3, 3, 2),
        Change(ChangeKind.CHANGED, (3, "x"), None, True),
    ]
