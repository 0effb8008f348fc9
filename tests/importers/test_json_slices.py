"""Taking JSON texts apart."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.importers.json_slices import NotJson, elements, members

SPACE = st.text(" \t\r\n", max_size=2)
NUMBERS = st.sampled_from(
    ["0", "-0", "-0.0", "1e16", "1E+400", "1.0", "9007199254740993", "-18446744073709551616", "9" * 5000]
)
STRINGS = st.text().map(json.dumps) | st.text().map(lambda text: json.dumps(text, ensure_ascii=False))
SCALARS = st.sampled_from(["null", "true", "false"]) | NUMBERS | STRINGS


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    return f"[{','.join(draw(SPACE) + text + draw(SPACE) for text in draw(st.lists(inner, max_size=4)))}]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items = [
        f"{draw(SPACE)}{draw(STRINGS)}{draw(SPACE)}:{draw(SPACE)}{draw(inner)}{draw(SPACE)}"
        for _ in range(draw(st.integers(0, 4)))
    ]
    return "{" + ",".join(items) + "}"


TEXTS = st.recursive(SCALARS, lambda inner: arrays(inner) | objects(inner), max_leaves=10)


@given(st.lists(st.tuples(SPACE, TEXTS, SPACE)), SPACE)
def test_elements_are_the_very_texts(items: list[tuple[str, str, str]], space: str) -> None:
    text = f"{space}[{','.join(map(''.join, items)) or space}]{space}"
    assert elements(text) == [text for _, text, _ in items]


@given(st.lists(st.tuples(SPACE, st.text(), SPACE, SPACE, TEXTS, SPACE)), SPACE, st.booleans())
def test_members_are_the_very_texts(items: list[tuple[str, ...]], space: str, ascii: bool) -> None:
    pairs = [f"{a}{json.dumps(key, ensure_ascii=ascii)}{b}:{c}{text}{d}" for a, key, b, c, text, d in items]
    text = f"{space}{{{','.join(pairs) or space}}}{space}"
    assert members(text) == {key: text for _, key, _, _, text, _ in items}


@given(st.text(alphabet='[]{}",:1e-. ntfalsru\\"') | TEXTS)
def test_what_is_taken_is_json(text: str) -> None:
    """No more than Python's own parser takes, and as that understands it."""
    for split in (members, elements):
        try:
            found: Any = split(text)
        except NotJson:
            continue
        whole = json.loads(text, parse_int=str)
        parts = found if isinstance(found, list) else list(found.values())
        assert [json.loads(part, parse_int=str) for part in parts] == list(
            whole if isinstance(whole, list) else whole.values()
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1",
        '"a"',
        "[1,]",
        "[1 2]",
        "[1",
        "[1]]",
        "[,1]",
        "[01]",
        "[NaN]",
        "[-Infinity]",
        "['a']",
        '["\n"]',
        "[" * 9000,
    ],
)
def test_not_an_array(text: str) -> None:
    with pytest.raises(NotJson):
        elements(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "{a:1}",
        "{1:1}",
        '{"a":1}}',
        '{"a":1',
        '{"a" 1}',
        '{"a":NaN}',
        "{,}",
    ],
)
def test_not_an_object(text: str) -> None:
    with pytest.raises(NotJson):
        members(text)


def test_of_equal_keys_the_last_counts() -> None:
    assert members('{"a": 1, "\\u0061": 2}') == {"a": "2"}
