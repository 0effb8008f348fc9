"""json_text and json_value: what goes there and back is equal, or an error says where it is not."""

import math
from collections import OrderedDict
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lockstitch import json_text, json_value


class Stage(StrEnum):
    CUT = "cut"


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(max_size=2)
    | st.just(Stage.CUT),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 2) | st.none() | st.booleans(), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(ANYTHING)
@example(5e-324)
@example(-0.0)
def test_there_and_back_or_an_error(value: Any) -> None:
    try:
        text = json_text(value)
    except (TypeError, ValueError):
        assume(False)
    back = json_value(text)
    assert back == value
    assert repr(back) == repr(value) or not isinstance(value, float)


@pytest.mark.parametrize("value", [None, True, 2**70, -1.5, "h\u00e9", [1, {"a": []}], OrderedDict(a=1)], ids=repr)
def test_values(value: object) -> None:
    assert json_value(json_text(value)) == value


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        ({"a": {1: "x"}}, TypeError, r"value\['a'\] has the key 1 of type int"),
        (
            {"a": [0, (1, 2)]},
            TypeError,
            r"value\['a'\]\[1\] is of type tuple, .* would come back as a list",
        ),
        ([{"b": math.nan}], ValueError, r"value\[0\]\['b'\] is nan"),
        ({"a": b"x"}, TypeError, r"value\['a'\] is of type bytes"),
        ({"a": {"x"}}, TypeError, r"value\['a'\] is of type set"),
        (object(), TypeError, "value is of type object"),
        (["\ud83d"], ValueError, r"value\[0\] holds '\\ud83d'"),
        ({"\ud83d": 1}, ValueError, r"value holds '\\ud83d'"),
    ],
)
def test_what_a_text_would_change(value: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=f"^{told}"):
        json_text(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": [{"b": 1, "c": 2, "b": 3}]}', r"value\['a'\]\[0\]\['b'\]: stands twice in its object"),
        ('{"a": 1e400}', r"value\['a'\]: 1e400 is beyond the range of a float"),
        ("[3.14159265358979323846]", r"value\[0\]: 3.14159265358979323846 has more digits"),
        ("1e-400", "value: 1e-400 has more digits"),
        ("[NaN]", r"value\[0\]: NaN is not JSON"),
        ("[1,]", "line 1"),
        ("", "line 1"),
    ],
)
def test_what_a_value_would_change(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        json_value(text)


@pytest.mark.parametrize(
    "text", ["0.1", "0.10", "1.0", "0.10000000000000001", "1e22", "0e9", "100000000000000000000.0"]
)
def test_numbers_that_a_float_holds(text: str) -> None:
    assert json_value(text) == float(text)


def test_nesting() -> None:
    deep: object = 0
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        json_text(deep)
    with pytest.raises(ValueError, match="nested"):
        json_value("[" * 100_000)
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="holds itself"):
        json_text(ring)
    assert json_value(json_text([[[[1]]]])) == [[[[1]]]]
