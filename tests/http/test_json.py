"""JSON of callers: what it costs is bounded, and it says the same as protobuf."""

import gzip
import json
import random

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind, TypedBlob
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.transport.http.body import SizeLimit
from lockstitch_server.rpc.transport.http.codecs import JsonCodec, check_json
from tests.http.requests import CHECKPOINTS, envelope, envelopes, post
from tests.support.server import LockstitchServer

SAVE = f"{CHECKPOINTS}Save"
LOAD = f"{CHECKPOINTS}LoadLatest"
STREAM = "application/connect+json"
LIMIT = SizeLimit(1024 * 1024, "http.max_json_bytes")
CODEC = JsonCodec(LIMIT, 10_000, LIMIT)
PIECES = st.sampled_from(["{", "}", "[", "]", ",", ":", '"', "\\", '"a"', "1", "null", "checkpoint", "\\u", " ", "é"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not the JSON"),
        (b"[]", "is not the JSON"),
        (b"1", "is not the JSON"),
        (b'"text"', "is not the JSON"),
        (b"null", "is not the JSON"),
        (b'{"sessionId": "s"', "is not the JSON"),
        (b'{"sessionId": 5}', "is not the JSON"),
        (b'{"sessionId": "a", "sessionId": "b"}', "is not the JSON"),
        (b'{"sessionID": "s"}', "no field named"),
        (b'{"sessionId": "\xff"}', "is not the JSON"),
        (b'{"sessionId": "\\ud800"}', "is not the JSON"),
        (b'{"checkpoint": {"step": ' + b"9" * 5000 + b"}}", "is not the JSON"),
        (b"[" * 1500, "deeper than 100"),
        (b'{"a":' * 200, "deeper than 100"),
        (b"[" + b"[]," * 5000 + b"[]]", "http.max_json_values"),
        (b'{"sessionId": "' + b"x" * 70_000 + b'"}', "http.max_json_bytes"),
    ],
)
def test_what_is_refused(server: LockstitchServer, body: bytes, words: str) -> None:
    answer = post(server.target, SAVE if b"checkpoint" in body else LOAD, body)
    assert answer.status in (400, 429), answer
    assert words in answer.json["message"]


def test_packed_json_is_unpacked_up_to_the_limit(server: LockstitchServer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 60_000
    answer = post(server.target, LOAD, bomb, content_encoding="gzip")
    assert "http.max_json_bytes" in answer.json["message"]


def test_long_responses_need_protobuf(server: LockstitchServer) -> None:
    """They would delay other calls while they become JSON."""
    request = pb.SaveRequest(checkpoint=Checkpoint(session_id="long", header=TypedBlob(data=bytes(300_000))))
    assert post(server.target, SAVE, request.SerializeToString(), "application/proto").status == 200
    refused = post(server.target, LOAD, {"sessionId": "long"})
    assert (refused.status, refused.json["code"]) == (429, "resource_exhausted")
    assert "http.max_json_response_bytes" in refused.json["message"]
    asked = pb.LoadLatestRequest(session_id="long").SerializeToString()
    assert len(post(server.target, LOAD, asked, "application/proto").body) > 300_000
    stream = post(
        server.target, f"{CHECKPOINTS}LoadLatestStream", envelope(b'{"requests": [{"sessionId": "long"}]}'), STREAM
    )
    ((_, end),) = envelopes(stream.body)
    assert "http.max_json_response_bytes" in json.loads(end)["error"]["message"]


def test_responses_of_many_values_need_protobuf(server: LockstitchServer) -> None:
    """They take seconds to become JSON, however short they are."""
    request = pb.SaveRequest(checkpoint=Checkpoint(session_id="many", ran_nodes=[NodeKind(custom="n")] * 2001))
    assert post(server.target, SAVE, request.SerializeToString(), "application/proto").status == 200
    refused = post(server.target, LOAD, {"sessionId": "many"})
    assert (refused.status, "http.max_json_values" in refused.json["message"]) == (429, True)


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=60).map("".join))
async def test_no_text_breaks_the_parser(text: str) -> None:
    """It is refused as a failure of the caller's, or it is the message that protobuf's own parser finds."""
    data = text.encode()
    try:
        found = await CODEC.decode(pb.SaveRequest.DESCRIPTOR, data, LIMIT, "")
    except Failure:
        if text.strip().startswith("{"):
            with pytest.raises(Exception):  # noqa: B017, PT011 - any of the parser's own
                json_format.Parse(data, pb.SaveRequest()).SerializeToString()
    else:
        assert found == json_format.Parse(data, pb.SaveRequest()).SerializeToString()


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_values_are_counted_outside_of_texts(value: object) -> None:
    """Never more than there are of commas and brackets, whatever stands within texts."""
    check_json(json.dumps(value).encode(), 10_000)
    most = _commas_and_brackets(value)
    check_json(json.dumps(value).encode(), most)
    if most:
        with pytest.raises(Failure):
            check_json(json.dumps(value).encode(), most - 1)


def _commas_and_brackets(value: object) -> int:
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(0, len(value) - 1) + sum(map(_commas_and_brackets, inner))


def test_a_text_without_an_end_takes_linear_time() -> None:
    """Megabytes of the worst cases: with backtracking, or one attempt for each quotation mark, this would not end."""
    for worst in (b'"' + b"a" * 2**22, b'"' + b'\\"' * 2**22, b'"\\' * 2**22):
        check_json(worst, 10)


async def test_json_and_protobuf_say_the_same() -> None:
    request = pb.SaveRequest()
    request.checkpoint.session_id = "é\0\u2028😀"
    request.checkpoint.step = 2**63 - 1
    request.checkpoint.header.data = random.Random(1).randbytes(20_000)  # long enough for a thread
    data = request.SerializeToString()
    text = await CODEC.encode(pb.SaveRequest.DESCRIPTOR, data, "")
    assert await CODEC.decode(pb.SaveRequest.DESCRIPTOR, text, LIMIT, "") == data
