"""JSON output says what the messages hold."""

import json
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from lockstitch_server.cli.exact_json import JsonText, encode

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def parsed(value: object) -> Any:
    return json.loads(encode(value))


@pytest.mark.parametrize(
    "text",
    ["9007199254740993", "1e400", "1.0", "-0", "123456789012345678901234567890", '"\\ud83d\\u0000"', '{"a":1,"a":2}'],
)
def test_json_texts_stay_as_they_are(text: str) -> None:
    state = pb.ExtrasChannel(entries={"key": text})
    assert encode(state) == f'{{"version":0,"entries":{{"key":{text}}}}}'


@given(value=JSON_VALUES, indent=st.sampled_from([None, 1]))
def test_any_json_text_is_the_same_value_on_one_line(value: Any, indent: int | None) -> None:
    line = encode(JsonText(json.dumps(value, indent=indent)))
    assert "\n" not in line
    assert json.loads(line, parse_float=Decimal) == json.loads(json.dumps(value), parse_float=Decimal)


def test_numbers_are_exact() -> None:
    checkpoint = pb.Checkpoint(
        step=2**63 - 1,
        concurrency_limit=2**64 - 1,
        versions_seen={"n": pb.ChannelVersions(versions={"c": 2**64 - 1})},
        created_at=Timestamp(seconds=-1, nanos=999_999_999),
    )
    document = parsed(checkpoint)
    assert document["step"] == 2**63 - 1
    assert document["concurrency_limit"] == 2**64 - 1
    assert document["versions_seen"] == {"n": {"versions": {"c": 2**64 - 1}}}
    assert document["created_at"] == "1969-12-31T23:59:59.999999999Z"


def test_nodes_are_text() -> None:
    nodes = [pb.NodeKind(endpoint=pb.ENDPOINT_START), pb.NodeKind(endpoint=pb.ENDPOINT_END), pb.NodeKind(custom="End")]
    assert parsed(nodes) == ["Start", "End", "Custom:End"]


def test_bytes_are_base64() -> None:
    document = parsed(pb.TypedBlob(type="msgpack", data=bytes(range(256))))
    assert b64decode(document["data"]) == bytes(range(256))


def test_everything_is_there_and_what_is_not_set_is_null() -> None:
    assert set(parsed(pb.Checkpoint())) == {field.name for field in pb.Checkpoint.DESCRIPTOR.fields}
    assert parsed(pb.Checkpoint())["state"] is None
    assert parsed(pb.Checkpoint())["frontier"] == []
    assert parsed(SessionSummary())["expire_at"] is None


def test_of_a_oneof_only_what_is_set() -> None:
    assert parsed(pb.CustomChannel(version="1")) == {"version": "1"}
    assert parsed(pb.CustomChannel(list=pb.BlobList())) == {"version": "", "list": {"items": []}}
    assert parsed(pb.ErrorScope(app=pb.ErrorScope.App())) == {"app": {}}


def test_an_empty_json_text_is_not_there() -> None:
    assert parsed(pb.WeaveError(message="m")) == {"message": "m", "cause": None}
    assert parsed(pb.WeaveError(message="m", details="null")) == {"message": "m", "cause": None, "details": None}


def test_causes_may_be_as_deep_as_the_contract_allows() -> None:
    error = pb.WeaveError(message="0")
    for number in range(1, 90):
        error = pb.WeaveError(message=str(number), cause=error)
    document = parsed(pb.ErrorEvent(error=error))["error"]
    for number in range(89, 0, -1):
        assert document["message"] == str(number)
        document = document["cause"]
