"""Browsers and curl: gRPC-Web, and JSON for what reads."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import lockstitch
from lockstitch import Checkpoint, message
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, LoadLatestResponse
from tests.support.envoy import Envoy

pytestmark = pytest.mark.slow

SERVICE = "lockstitch.v1.CheckpointService"
LARGE_STEP = 2**53 + 1


def post(envoy: Envoy, method: str, body: bytes, kind: str) -> tuple[int, dict[str, str], bytes]:
    request = Request(f"http://{envoy.target}/{method}", body, {"content-type": kind, "accept": kind})
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except HTTPError as error:
        return error.code, dict(error.headers), error.read()


def as_json(envoy: Envoy, method: str, request: dict[str, Any]) -> tuple[int, Any]:
    status, _, body = post(envoy, method, json.dumps(request).encode(), "application/json")
    return status, json.loads(body) if body else None


@pytest.fixture
def saved(envoy: Envoy) -> None:
    with lockstitch.Client(envoy.target) as client:
        checkpoint = Checkpoint(session_id="web", step=LARGE_STEP)
        checkpoint.state.messages.items.append(message("user", "hello"))
        client.save(checkpoint)


@pytest.mark.usefixtures("saved")
def test_json_reads(envoy: Envoy) -> None:
    status, latest = as_json(envoy, f"{SERVICE}/LoadLatest", {"sessionId": "web"})
    assert status == 200
    assert latest["checkpoint"]["step"] == str(LARGE_STEP), "64-bit integers are text in JSON"
    assert latest["checkpoint"]["state"]["messages"]["items"] == [{"role": "user", "content": "hello"}]
    status, listed = as_json(envoy, f"{SERVICE}/ListSessions", {})
    assert status == 200
    assert [session["sessionId"] for session in listed["sessions"]] == ["web"]


def test_json_is_told_what_is_wrong(envoy: Envoy) -> None:
    status, error = as_json(envoy, f"{SERVICE}/LoadLatest", {})
    assert (status, error["code"]) == (400, 3)
    (info,) = (detail for detail in error["details"] if detail["@type"].endswith("ErrorInfo"))
    assert (info["reason"], info["metadata"]["field"]) == ("INVALID_FIELD", "session_id")


@pytest.mark.usefixtures("saved")
def test_json_does_not_write(envoy: Envoy) -> None:
    body = json.dumps({"checkpoint": {"sessionId": "json", "step": "1"}}).encode()
    status, _, _ = post(envoy, f"{SERVICE}/Save", body, "application/json")
    assert status >= 400
    with lockstitch.Client(envoy.target) as client:
        assert client.load_latest("json").checkpoint is None


@pytest.mark.usefixtures("saved")
def test_grpc_web(envoy: Envoy) -> None:
    request = LoadLatestRequest(session_id="web").SerializeToString()
    frame = b"\0" + len(request).to_bytes(4, "big") + request
    status, headers, body = post(envoy, f"{SERVICE}/LoadLatest", frame, "application/grpc-web+proto")
    assert (status, headers["content-type"]) == (200, "application/grpc-web+proto")
    length = int.from_bytes(body[1:5], "big")
    answer = LoadLatestResponse.FromString(body[5 : 5 + length])
    assert answer.checkpoint.step == LARGE_STEP
    assert b"grpc-status:0" in body[5 + length :]
