"""Envoy before the HTTP door: gRPC, gRPC-Web and Connect, in protobuf and in JSON, all through one address."""

import asyncio
import json

import pytest

import lockstitch
from lockstitch import Checkpoint
from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.http.requests import CHECKPOINTS, Answer, envelope, envelopes, post, web_trailers
from tests.support.envoy import Envoy

pytestmark = pytest.mark.slow

DOOR = "http"
WITHOUT = ("envoy.filters.http.grpc_web", "envoy.filters.http.grpc_json_transcoder")
"""The door speaks gRPC-Web and JSON itself; docs/http.md says to leave these filters out."""
END_STREAM = 2


def saved(envoy: Envoy, session: str, step: int) -> None:
    """Save by Connect, in JSON."""
    body = {"checkpoint": {"sessionId": session, "step": str(step)}}
    assert post(envoy.target, f"{CHECKPOINTS}Save", body).status == 200


def loaded(envoy: Envoy, session: str, media: str) -> Answer:
    request = pb.LoadLatestRequest(session_id=session).SerializeToString()
    data = request if media == "application/proto" else envelope(request)
    return post(envoy.target, f"{CHECKPOINTS}LoadLatest", data, media)


def test_connect(envoy: Envoy) -> None:
    saved(envoy, "connect", 3)
    answer = loaded(envoy, "connect", "application/proto")
    assert (answer.status, pb.LoadLatestResponse.FromString(answer.body).checkpoint.step) == (200, 3)
    refused = post(envoy.target, f"{CHECKPOINTS}Save", {"checkpoint": {}})
    assert (refused.status, refused.json["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize("media", ["application/grpc-web", "application/grpc-web+proto"])
def test_grpc_web(envoy: Envoy, media: str) -> None:
    saved(envoy, "web", 4)
    (_, message), (_, trailers) = envelopes(loaded(envoy, "web", media).body)
    assert pb.LoadLatestResponse.FromString(message).checkpoint.step == 4
    assert web_trailers(trailers)["grpc-status"] == "0"


def test_a_stream_by_connect(envoy: Envoy) -> None:
    saved(envoy, "stream", 5)
    asked = json.dumps({"requests": [{"sessionId": "stream"}, {"sessionId": "nobody"}]}).encode()
    answer = post(envoy.target, f"{CHECKPOINTS}LoadLatestStream", envelope(asked), "application/connect+json")
    *messages, (flags, end) = envelopes(answer.body)
    assert [json.loads(each).get("index", 0) for _, each in messages] == [0, 1]
    assert (flags, json.loads(end)) == (END_STREAM, {})


async def test_grpc(envoy: Envoy) -> None:
    """The client streams its saves, loads them, and follows the session."""
    async with lockstitch.AsyncClient(envoy.target) as client:
        results = await asyncio.gather(*(client.save(Checkpoint(session_id="grpc", step=n)) for n in range(1, 100)))
        assert len(results) == 99
        latest = (await client.load_latest("grpc")).checkpoint
        assert latest is not None
        assert latest.step == 99
