"""Values as trees, paths, dumps; whatever is stored, a page of them is bounded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.inspect import Instance
from lockstitch_ui.views import paths
from lockstitch_ui.views.blobs import hexadecimal
from lockstitch_ui.views.tree import MAX_CHILDREN, MAX_DEPTH, MAX_TEXT, Budget, Node, one_line, tree

PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=5)
        | inner.map(lambda value: Instance("m", "C", value))
    ),
    max_leaves=20,
)


def every(node: Node) -> list[Node]:
    return [node, *(inner for child in node.children for inner in every(child))]


@given(PLAIN)
def test_each_node_of_a_tree_is_found_by_its_pointer(value: Any) -> None:
    for node in every(tree(value, Budget())):
        path, _ = paths.find(value, node.pointer)
        assert paths.pointer(path) == node.pointer
        assert len(node.summary) <= MAX_TEXT


@given(st.lists(st.text() | st.integers(0, 10**6), max_size=6))
def test_pointers_are_read_as_they_are_written(path: list[str | int]) -> None:
    assert paths.parts(paths.pointer(path)) == [str(part) for part in path]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("a", 0, "b"), "a[0].b"),
        (("a", "b c"), 'a["b c"]'),
        (("a", 'say "x"'), 'a["say \\"x\\""]'),
        (("extra/plan",), '["extra/plan"]'),
        ((), ""),
    ],
)
def test_paths_as_programs_write_them(path: tuple[str | int, ...], expected: str) -> None:
    assert paths.readable(path) == expected


@pytest.mark.parametrize("pointer", ["/a/9", "/a/x", "/b", "/a/-1", "/a/0/0"])
def test_what_is_not_there_is_not_found(pointer: str) -> None:
    with pytest.raises(LookupError):
        paths.find({"a": [1, 2]}, pointer)


def test_large_values_are_cut_and_say_how_much() -> None:
    many = tree(list(range(1000)), Budget())
    assert (len(many.children), many.more, many.summary) == (MAX_CHILDREN, 1000 - MAX_CHILDREN, "1000 items")
    long = tree("x" * 10_000, Budget())
    assert (len(long.summary), long.cut) == (MAX_TEXT, 10_000 - MAX_TEXT)
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    found = every(tree(deep, Budget()))
    assert len(found) == MAX_DEPTH + 1
    assert found[-1].more == 1


def test_a_page_has_a_bound_however_many_values_it_shows() -> None:
    budget = Budget(nodes=50, characters=1000)
    wide = [["x" * 100] * 50] * 50
    nodes = every(tree(wide, budget))
    assert len(nodes) <= 60
    assert sum(len(node.summary) for node in nodes if node.kind == "text") <= 1000


def test_the_rest_of_a_list_keeps_its_numbers_and_marks_what_is_new() -> None:
    found = tree(["a", "b", "c"], Budget(), base=("log",), offset=7, new_from=9)
    assert [(child.label, child.path, child.is_new) for child in found.children] == [
        ("7", "log[7]", False),
        ("8", "log[8]", False),
        ("9", "log[9]", True),
    ]
    assert (found.skipped, found.summary) == (7, "10 items")


def test_integers_that_python_does_not_write() -> None:
    assert tree(10**5000, Budget()).summary.startswith("0x")


@given(PLAIN)
def test_any_value_in_a_line(value: Any) -> None:
    assert len(one_line(value, 80)) <= 80 + 3 + 6 * 80  # quotes, a dot; and escapes of a text


def test_a_dump() -> None:
    found = hexadecimal(bytes(range(60, 80)), limit=18)
    assert [(line.offset, line.text) for line in found.lines] == [("00000000", "<=>?@ABCDEFGHIJK"), ("00000010", "LM")]
    assert (found.size, found.cut) == (20, 2)
    assert hexadecimal(b"abcdef", limit=2, first=2).lines[0].text == "cd"
