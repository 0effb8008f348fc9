"""Calls that fail before their handlers begin: each has an audit record, and the gauge of active calls returns to 0."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.http.requests import CHECKPOINTS, JSON, SESSIONS, ask, envelope, post
from tests.security.callers import make_key
from tests.support.ports import free_port
from tests.support.server import DOORS, LockstitchServer

SECONDS = 60
LOAD = f"{CHECKPOINTS}LoadLatest"
STREAM = f"{CHECKPOINTS}SaveStream"
WATCH = f"{SESSIONS}WatchSession"
REQUEST = pb.LoadLatestRequest(session_id="s").SerializeToString()
WEB = "application/grpc-web"
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Watched:
    """A server with an audit log, metrics and traces."""

    def __init__(self, server: LockstitchServer, metrics: str, audit: Path, key: str) -> None:
        self.target, self.key = server.target, key
        self._metrics = metrics
        self._audit = audit
        self._seen = 0

    def next_record(self) -> Any:
        """The next record of the audit log. After it, no call is active."""
        record = self._record()
        assert self._no_call_is_active()
        return record

    def _record(self) -> Any:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            text = self._audit.read_text() if self._audit.exists() else ""
            lines = text[: text.rfind("\n") + 1].splitlines()
            if len(lines) > self._seen:
                self._seen += 1
                return json.loads(lines[self._seen - 1])
            time.sleep(0.02)
        raise AssertionError("the audit log has no record of the call")

    def _no_call_is_active(self) -> bool:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            text = ask(self._metrics, "GET", "/metrics").body.decode()
            values = [line.split()[-1] for line in text.splitlines() if line.startswith("lockstitch_calls_active")]
            assert values
            if all(float(value) == 0 for value in values):
                return True
            time.sleep(0.05)
        return False


@contextmanager
def watching(directory: Path, door: str) -> Iterator[Watched]:
    key, metrics = make_key(directory / "keys.json", "runner", ["acme"]), f"127.0.0.1:{free_port()}"
    audit = directory / "audit.jsonl"
    settings = (f"auth.keys={directory}/keys.json", f"audit.file={audit}", f"metrics_listen={metrics}")
    traces = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    arguments = [f"--set={setting}" for setting in (*settings, "limits.max_query_bytes=1KiB")]
    with LockstitchServer("memory://", arguments, door=door, environment=traces) as server:
        yield Watched(server, metrics, audit, key)


@pytest.fixture(scope="module", params=DOORS)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watching(tmp_path_factory.mktemp("early"), request.param) as server:
        yield server


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The HTTP door: gRPC's own server refuses such requests before there is a call."""
    with watching(tmp_path_factory.mktemp("early"), "http") as server:
        yield server


def ended_call(watched: Watched, path: str, data: bytes, **metadata: str) -> grpc.StatusCode:
    """The status of a call of any method through gRPC's own client."""
    entries = [("authorization", f"Bearer {watched.key}"), *((k.replace("_", "-"), v) for k, v in metadata.items())]
    with grpc.insecure_channel(watched.target) as channel:
        many: Any = channel.stream_stream(path)
        try:
            for _ in many(iter([data] if data else []), metadata=entries, timeout=SECONDS):
                pass
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("path", [LOAD, STREAM, WATCH])
@pytest.mark.parametrize(
    ("data", "metadata"),
    [
        (b"\x1f\x8b nothing that gzip knows", {}),
        (REQUEST, {"lockstitch_tenant": "another"}),
        (REQUEST, {"authorization": "Bearer of news"}),
    ],
    ids=["gzip", "tenant", "credentials twice"],
)
def test_calls_that_fail_early(watched: Watched, path: str, data: bytes, metadata: dict[str, str]) -> None:
    code = ended_call(watched, path, data, **metadata)
    record = watched.next_record()
    assert (record["method"], record["code"]) == (path.rpartition("/")[2], code.name)
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, *REFUSED)


@pytest.mark.parametrize("data", [b"\xff" * 10, b"x" * 2048, b""], ids=["garbage", "too large", "nothing"])
def test_messages_that_cannot_be_read(watched: Watched, data: bytes) -> None:
    code = ended_call(watched, LOAD, data)
    assert watched.next_record()["code"] == code.name
    expected = {b"": "UNIMPLEMENTED", b"\xff" * 10: "INVALID_ARGUMENT"}
    assert code.name == expected.get(data, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(
    "metadata",
    [
        {"grpc_previous_rpc_attempts": "9" * 5000},
        {"traceparent": "00-" + "z" * 32, "tracestate": "=,=," * 40, "x_request_id": "y" * 1000},
    ],
    ids=["attempts", "trace"],
)
def test_odd_metadata(watched: Watched, metadata: dict[str, str]) -> None:
    assert ended_call(watched, LOAD, REQUEST, **metadata) is grpc.StatusCode.OK
    assert watched.next_record()["code"] == "OK"


@pytest.mark.parametrize(("path", "media"), [(LOAD, JSON), (LOAD, f"{WEB}+json"), (WATCH, f"{WEB}+json")])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-a-bin": "!!"}, "INVALID_ARGUMENT"),
        ({"x-a-bin": "!!", "authorization": ""}, "UNAUTHENTICATED"),
        ({"grpc-timeout": "soon", "connect-timeout-ms": "soon"}, "INVALID_ARGUMENT"),
        ({"grpc-encoding": "br", "content-encoding": "br"}, "UNIMPLEMENTED"),
    ],
    ids=["binary", "stranger", "timeout", "encoding"],
)
def test_requests_with_bad_headers(door: Watched, path: str, media: str, headers: dict[str, str], code: str) -> None:
    body = b'{"sessionId": "s"}'
    data = body if media == JSON else envelope(body, flags=int("grpc-encoding" in headers))
    ask(door.target, "POST", path, data, {"content-type": media, "authorization": f"Bearer {door.key}", **headers})
    record = door.next_record()
    assert (record["method"], record["code"]) == (path.rpartition("/")[2], code)
    assert record.get("principal", "") == ("" if code == "UNAUTHENTICATED" else "runner")


@pytest.mark.parametrize(
    ("media", "body", "code"),
    [
        (JSON, b"{", "INVALID_ARGUMENT"),
        (WEB, envelope(REQUEST)[:-1], "INVALID_ARGUMENT"),
        (WEB, envelope(REQUEST, flags=64), "INTERNAL"),
    ],
    ids=["json", "cut off", "flags"],
)
def test_bodies_that_cannot_be_read(door: Watched, media: str, body: bytes, code: str) -> None:
    post(door.target, LOAD, body, media, authorization=f"Bearer {door.key}")
    assert door.next_record()["code"] == code
