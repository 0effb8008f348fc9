"""Values as people read them."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.cli import format
from lockstitch_server.cli.output import one_line, printable

NOW = 1_000_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (86_400, "1 day ago"),
        (30 * 86_400, "30 days ago"),
        (40 * 86_400, "2001-07-31"),
        (-90, "in 1 min"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    when = Timestamp()
    when.FromNanoseconds(int((NOW - seconds) * 1e9))
    assert format.ago(when, datetime.fromtimestamp(NOW, UTC)) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "at the same time"),
        (1, "1e-06 ms later"),
        (1_500_000, "1.5 ms later"),
        (-2_000_000, "2 ms earlier"),
        (90 * 10**9, "1 min later"),
    ],
)
def test_elapsed(nanoseconds: int, text: str) -> None:
    start, end = Timestamp(seconds=NOW), Timestamp()
    end.FromNanoseconds(NOW * 10**9 + nanoseconds)
    assert format.elapsed(start, end) == text


@given(st.text())
def test_nothing_that_is_shown_acts_upon_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert one_line(text).isprintable()
    assert all(line.isprintable() for line in format.block(text, full=True).split("\n"))


def test_control_characters_can_be_seen() -> None:
    assert printable("a\x1b[31m\x00\u202e\n") == "a\\x1b[31m\\x00\\u202e\\n"
    assert printable("naïve 🧵 日本") == "naïve 🧵 日本"


def test_long_texts_are_cut_unless_they_are_asked_for() -> None:
    text = "x" * 1000
    assert format.line(text, full=False) == "x" * 400 + "… (1000 characters)"
    assert format.line(text, full=True) == text
    assert format.block("a\n" * 10, full=False) == "a\na\na\na\na\na… (20 characters)"
    assert format.block("a\n" * 10, full=True) == "a\n" * 10


def test_a_long_text_is_cut() -> None:
    assert format.line("x" * 400, False) == "x" * 400
    assert format.line("x" * 401, False) == f"{'x' * 400}… (401 characters)"
    assert format.line("x" * 401, True) == "x" * 401
    assert format.line(f"{'x' * 500}y", False, 490) == f"…{'x' * 10}y (501 characters)"
    assert format.line("x" * 1000, False, 100) == f"…{'x' * 400}… (1000 characters)"


@given(st.text("ab", max_size=10), st.integers(0, 3000), st.text("ab", max_size=10), st.integers(0, 3000))
def test_a_change_can_be_seen_in_long_texts(before: str, common: int, after: str, rest: int) -> None:
    old, new = (f"{'-' * common}{text}{'-' * rest}" for text in (before, after))
    start = format.difference_start(old, new)
    shown_old, shown_new = (format.line(text, False, start).rpartition(" (")[0] or text for text in (old, new))
    assert (shown_old == shown_new) <= (old == new)


@pytest.mark.parametrize(("number", "text"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")])
def test_counts(number: int, text: str) -> None:
    assert format.count(number, "entry", "entries") == text
