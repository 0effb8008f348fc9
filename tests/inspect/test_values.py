"""Opaque values as plain data: nothing raises, nothing is made an object, nothing takes long."""

import json
import math
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.adapters.langgraph._channels import to_channel
from lockstitch.inspect import Encoding, Instance, chunk_size, decode, items, to_json
from lockstitch.inspect._values import MAX_NESTING
from lockstitch.v1.checkpoint_pb2 import CustomChannel, TypedBlob

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def dumped(value: object) -> TypedBlob:
    kind, data = JsonPlusSerializer().dumps_typed(value)
    return TypedBlob(type=kind, data=data)


@given(PLAIN)
def test_what_langgraph_stores_comes_back(value: object) -> None:
    found = decode(dumped(value))
    assert found.problem == ""
    assert found.value == value
    json.loads(to_json(found.value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UUID(int=5), Instance("uuid", "UUID", UUID(int=5).hex)),
        (Path("/a"), Instance("pathlib", "PosixPath", ["/", "a"])),
        ({"x"}, Instance("builtins", "set", ["x"])),
        ((1, 2), [1, 2]),
    ],
)
def test_objects_are_not_made(value: object, expected: object) -> None:
    assert decode(dumped(value)).value == expected


def test_an_object_has_its_class_and_its_fields() -> None:
    found = decode(dumped(HumanMessage("hello")))
    assert isinstance(found.value, Instance)
    assert found.value.name == "langchain_core.messages.human.HumanMessage"
    assert found.value.field("content") == "hello"
    assert json.loads(to_json(found.value))["$class"] == found.value.name


@pytest.mark.parametrize(
    ("kind", "data", "encoding", "value"),
    [
        ("json", b'{"a": [1, 2.5, null]}', Encoding.JSON, {"a": [1, 2.5, None]}),
        ("application/json; charset=utf-8", b"1", Encoding.JSON, 1),
        ("text/plain", "naïve".encode(), Encoding.TEXT, "naïve"),
        ("null", b"", Encoding.NULL, None),
        ("bytes", b"\xff", Encoding.BYTES, b"\xff"),
        ("pickle", b"cos\nsystem\n", Encoding.BYTES, b"cos\nsystem\n"),
        ("", b"x", Encoding.BYTES, b"x"),
    ],
)
def test_encodings(kind: str, data: bytes, encoding: Encoding, value: object) -> None:
    found = decode(TypedBlob(type=kind, data=data))
    assert (found.encoding, found.value, found.problem) == (encoding, value, "")


@given(st.sampled_from(["json", "msgpack", "text", "null", "pickle", "x"]), st.binary())
def test_anything_can_be_looked_at(kind: str, data: bytes) -> None:
    found = decode(TypedBlob(type=kind, data=data))
    assert not found.problem or (found.encoding, found.value) == (Encoding.BYTES, data)
    to_json(found.value)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("msgpack", b"\xdd\xff\xff\xff\xff"),  # an array of 4 billion items
        ("msgpack", b"\x91" * 100_000),
        ("msgpack", b"\xc7\xff\x00" * 1000),
        ("msgpack", b"\xc7\x01\x05\xc0"),  # an object without a class
        ("json", b"[" * 100_000),
        ("json", b"\xff"),
        ("json", b"1" * 5000 + b"!"),
        ("text", b"\xff"),
        ("msgpack", b"\xc0" * (1024 * 1024 + 1)),
    ],
)
def test_bombs_stay_bytes(kind: str, data: bytes) -> None:
    found = decode(TypedBlob(type=kind, data=data))
    assert (found.encoding, found.value) == (Encoding.BYTES, data)
    assert found.problem
    assert len(found.problem) < 300


def test_objects_in_objects_are_bounded() -> None:
    def wrapped(depth: int) -> bytes:
        data = b"\xc0"
        for _ in range(depth):
            content = b"\x93\xa1m\xa1c" + data
            data = b"\xc9" + len(content).to_bytes(4, "big") + b"\x05" + content
        return data

    assert decode(TypedBlob(type="msgpack", data=wrapped(32))).problem == ""
    assert "32 deep" in decode(TypedBlob(type="msgpack", data=wrapped(33))).problem
    assert "32 deep" in decode(TypedBlob(type="msgpack", data=wrapped(5000))).problem


def test_larger_values_on_request() -> None:
    blob = TypedBlob(type="json", data=b'"%s"' % (b"x" * 2_000_000))
    assert "2000002 bytes" in decode(blob).problem
    assert decode(blob, max_bytes=3_000_000).value == "x" * 2_000_000


def test_what_json_does_not_have() -> None:
    text = to_json({"a": math.nan, 1: b"\x00", ("x", 2): float("inf")})
    assert json.loads(text) == {"a": "nan", "1": {"$bytes": "AA=="}, "('x', 2)": "inf"}


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_value_that_is_nested_deep_stays_bytes(kind: str) -> None:
    opened, closed = (b"[", b"]") if kind == "json" else (b"\x91", b"")
    for depth, is_decoded in ((MAX_NESTING, True), (MAX_NESTING + 1, False), (100_000, False)):
        blob = TypedBlob(type=kind, data=opened * depth + (b"1" if kind == "json" else b"\xc0") + closed * depth)
        found = decode(blob)
        assert (found.encoding is Encoding.BYTES, bool(found.problem)) == (not is_decoded, not is_decoded)
        to_json(found.value)


def test_items_that_were_stored_together_come_one_by_one() -> None:
    values = [{"n": number} for number in range(100)]
    channel = to_channel(JsonPlusSerializer(), values, "1")
    assert len(channel.list.items) < len(values)
    assert sum(map(chunk_size, channel.list.items)) == len(values)
    assert [found.value for found in items(channel)] == values


def test_the_items_of_a_channel_without_a_list() -> None:
    assert list(items(CustomChannel(version="1"))) == []
    assert [found.value for found in items(CustomChannel(blob=TypedBlob(type="json", data=b"[1, 2]")))] == [[1, 2]]


@pytest.mark.parametrize(
    "kind", ["msgpack", "msgpack[]", "msgpack[x]", "msgpack[-1]", "json[4]", "msgpack[9999999999]"]
)
def test_types_that_are_no_chunks(kind: str) -> None:
    with pytest.raises(ValueError, match="no chunk"):
        chunk_size(TypedBlob(type=kind))
