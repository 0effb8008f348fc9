"""Plain values as people read them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.inspect import Instance
from lockstitch_server.cli import pretty
from tests.inspect.test_values import PLAIN

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def test_what_fits_stands_on_one_line() -> None:
    assert pretty.block({"a": [1, 2.5, None, True], "b": {}}, full=False) == '{"a": [1, 2.5, null, true], "b": {}}'


def test_what_does_not_fit_is_indented() -> None:
    assert pretty.block({"names": ["x" * 40, "y" * 40], "n": 1}, full=False).splitlines() == [
        "{",
        '  "names": [',
        f'    "{"x" * 40}",',
        f'    "{"y" * 40}"',
        "  ],",
        '  "n": 1',
        "}",
    ]


@given(VALUES)
def test_json_stays_json(value: Any) -> None:
    text = pretty.block([value], full=True)
    # Characters that a terminal would act upon are escaped as in Python; JSON does not know these escapes.
    if "\\x" not in text and "\\U" not in text:
        assert json.loads(text) == [value]


@given(PLAIN)
def test_nothing_that_is_shown_acts_upon_a_terminal(value: Any) -> None:
    for full in (True, False):
        assert all(line.isprintable() for line in pretty.block(value, full).split("\n"))
        assert pretty.line(value, full).isprintable()


@pytest.mark.parametrize("text", ["1.0", "1e400", "-0.00", "123456789012345678901234567890", '"a"', "[0.10, 1E2]"])
def test_numbers_stay_as_they_are(text: str) -> None:
    assert pretty.json_text(text, full=False) == text


def test_a_text_that_cannot_be_taken_apart_stays_as_it_is() -> None:
    deep = "[" * 5000 + "]" * 5000
    assert pretty.json_text(deep, full=True) == deep
    assert pretty.json_text(deep, full=False) == "[" * 400 + "…"
    assert pretty.json_text("not \x1b JSON", full=True) == "not \\x1b JSON"


def test_objects_and_bytes() -> None:
    value = Instance("a.b", "C", {"x": Instance("uuid", "UUID", "00"), "data": b"abc"})
    assert pretty.line(value, full=True) == 'a.b.C {"x": uuid.UUID ("00"), "data": bytes(3, YWJj)}'


def test_many_lines_are_cut() -> None:
    text = pretty.block(list(range(1000)), full=False)
    assert len(text.splitlines()) == pretty.CLIPPED_LINES + 1
    assert text.endswith("… (more: --full)")
    assert len(pretty.block(list(range(1000)), full=True).splitlines()) == 1002


def test_a_long_line_is_cut() -> None:
    assert pretty.block({"a": "x" * 1_000_000}, full=False).splitlines()[1] == f'  "a": "{"x" * 392}…'
