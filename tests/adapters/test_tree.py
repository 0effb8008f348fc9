"""Trees of JSON values as channels."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from lockstitch.adapters import _tree
from lockstitch.v1.checkpoint_pb2 import VersionedState
from tests.plain.states import KEYS, LEAVES, same

LARGE = st.text("ab$", min_size=_tree.LARGE, max_size=_tree.LARGE + 8)
MARKS = st.sampled_from(["$channel", "$$channel", "channel", "rest", "whole"])
TREES = st.recursive(
    st.one_of(LEAVES, LARGE, MARKS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, MARKS), inner, max_size=4)),
    max_leaves=20,
)
WIDE: dict[str, Any] = {str(number): {"$channel": "rest"} for number in range(_tree.WIDE + 1)}


@given(st.dictionaries(st.one_of(KEYS, MARKS), TREES, max_size=6))
@example({"wide": WIDE})
@example({"k" * 600: WIDE, "\ud800": "\ud800" * 300})
@example({"log": [{"$channel": "whole"}] * 30, "$channel": {"$channel": "rest"}})
def test_a_tree_is_what_it_was(tree: dict[str, Any]) -> None:
    state = VersionedState()
    rest = _tree.split(tree, state)
    assert same(_tree.join(rest, state.custom), tree)
    assert all(0 < len(name.encode()) <= _tree.NAME_BYTES for name in state.custom)


def test_a_list_that_grows_keeps_its_items() -> None:
    short, long = VersionedState(), VersionedState()
    log = [f"entry {number}" for number in range(40)]
    rest = _tree.split({"state": {"log": log[:-1], "step": 1}}, short)
    assert rest == _tree.split({"state": {"log": log, "step": 1}}, long)
    assert rest == {"state": {"log": {"$channel": "whole"}, "step": 1}}
    before, after = short.custom["/state/log"].list.items, long.custom["/state/log"].list.items
    assert list(before) == list(after)[:-1]


def test_a_large_text_does_not_stand_in_the_rest() -> None:
    state = VersionedState()
    assert _tree.split({"page": "a" * 10_000, "n": 1}, state) == {"page": {"$channel": "whole"}, "n": 1}
    assert list(state.custom) == ["/page"]
