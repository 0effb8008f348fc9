"""What checkpoints are searched by: equal facts have equal terms, and no others."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind
from lockstitch_server.core.format.search_terms import MAX_DEPTH, canonical_json, terms

Json = Any


def found(checkpoint: Checkpoint, tenant: str = "t", key: bytes = b"k") -> set[int]:
    """What a checkpoint of step 0 is found by."""
    return set(terms(tenant, key, checkpoint, f"{0:020d}"))


numbers = st.one_of(
    st.integers(),
    st.sampled_from([2**53, 2**53 + 1, 2**64]),
    st.decimals(allow_nan=False, allow_infinity=False),
)
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def written(value: Json, *, ascii_only: bool = False, spaces: str = "", backwards: bool = False) -> str:
    """A JSON value as text, in one of several ways."""
    if isinstance(value, list):
        items = [written(item, ascii_only=ascii_only, spaces=spaces, backwards=backwards) for item in value]
        return f"[{spaces}{f'{spaces},'.join(items)}{spaces}]"
    if isinstance(value, dict):
        names = sorted(value, reverse=backwards)
        pairs = [
            json.dumps(name, ensure_ascii=ascii_only)
            + f"{spaces}:"
            + written(value[name], ascii_only=ascii_only, spaces=spaces, backwards=backwards)
            for name in names
        ]
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=ascii_only)


def comparable(value: Json) -> Json:
    """A value that is equal to another one's just when they are equal as JSON."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, int | Decimal):
        return ("number", Decimal(value))
    if isinstance(value, list):
        return ("list", [comparable(item) for item in value])
    return ("object", {name: comparable(item) for name, item in value.items()})


@given(values, st.booleans(), st.sampled_from(["", " ", "\n\t"]), st.booleans())
def test_the_same_value_in_another_spelling(value: Json, ascii_only: bool, spaces: str, backwards: bool) -> None:
    other = written(value, ascii_only=ascii_only, spaces=spaces, backwards=backwards)
    assert canonical_json(other) == canonical_json(written(value))


@given(values, values)
def test_other_values_are_different(one: Json, other: Json) -> None:
    same = canonical_json(written(one)) == canonical_json(written(other))
    assert same == (comparable(one) == comparable(other))


@given(st.integers(), st.integers(0, 5))
def test_numbers_by_value(number: int, zeros: int) -> None:
    spellings = [f"{number}.{'0' * (zeros + 1)}", f"{number}e0", f"{number}{'0' * zeros}e-{zeros}"]
    assert {canonical_json(text) for text in spellings} == {canonical_json(str(number))}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 900, 100_000])
def test_deep_values_are_equal_to_themselves(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"
    text = opening * depth + "1" + closing * depth
    other = opening * depth + "2" + closing * depth
    assert canonical_json(text) == canonical_json(text) != canonical_json(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1e999999999999999999", "1e999999999999999998"),
        ("1e99999999999999999999", "1e99999999999999999998"),
        ("1e99999999999999999999", '{"": "1e99999999999999999999"}'),
        ("1e99999999999999999999", '"1e99999999999999999999"'),
        ("0e99999999999999999999", "1"),
    ],
)
def test_numbers_beyond_all_measure(one: str, other: str) -> None:
    assert canonical_json(one) != canonical_json(other)


nodes = st.builds(NodeKind, custom=st.text(max_size=2)) | st.builds(NodeKind, endpoint=st.sampled_from([1, 2]))


@given(nodes, nodes)
def test_nodes_have_facts_of_their_own(one: NodeKind, other: NodeKind) -> None:
    assume(one != other)
    assert not found(Checkpoint(ran_nodes=[one])) & found(Checkpoint(ran_nodes=[other]))
    assert not found(Checkpoint(ran_nodes=[one])) & found(Checkpoint(skipped_nodes=[one]))


def test_terms_of_two_sessions_and_two_tenants_differ() -> None:
    checkpoint = Checkpoint(ran_nodes=[NodeKind(custom="a")])
    (one, two, three) = (found(checkpoint, *scope) for scope in (("t", b"1"), ("t", b"2"), ("u", b"3")))
    assert len(one & two) == 1, "the term of the tenant"
    assert not (one | two) & three
    assert all(-(2**63) <= term < 2**63 for term in one | two | three)


@given(st.text(max_size=3), st.text(max_size=3))
def test_a_name_never_runs_into_its_value(name: str, value: str) -> None:
    one = found(Checkpoint(metadata={name: json.dumps(value)}))
    other = found(Checkpoint(metadata={name + value: '""'}))
    assert (one == other) == (value == "")
