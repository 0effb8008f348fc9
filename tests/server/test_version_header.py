"""The server's version goes with every response to a caller whom the server knows, and to nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lockstitch._rpcs import LIST_SESSIONS, SAVE_STREAM, WALK_ANCESTORS
from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server import __version__
from tests.http.requests import CHECKPOINTS, Answer, envelope, post
from tests.security.callers import bearer, make_key
from tests.support.server import LockstitchServer

KEY = "lockstitch-server-version"
SECONDS = 60
DOORS = ("grpc", "http")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def token(keys: Path) -> str:
    return make_key(keys, "reader", ["acme"], ["read"])


@pytest.fixture(scope="module", params=DOORS)
def server(request: pytest.FixtureRequest, keys: Path, token: str) -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://", ["--set", f"auth.keys={keys}"], door=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def http(keys: Path, token: str) -> Iterator[str]:
    with LockstitchServer("memory://", ["--set", f"auth.keys={keys}"], door="http") as running:
        yield running.target


def version_of(call: Any) -> str | None:
    """Over HTTP it is in the headers, which come before the trailers."""
    found = dict((*call.initial_metadata(), *(call.trailing_metadata() or ())))
    return found.get(KEY)


def list_sessions(target: str, token: str | None) -> Any:
    with grpc.insecure_channel(target) as channel:
        method = channel.unary_unary(LIST_SESSIONS.path, LIST_SESSIONS.encode, LIST_SESSIONS.decode)
        metadata = bearer(token) if token else ()
        try:
            return method.with_call(pb.ListSessionsRequest(), SECONDS, metadata)[1]
        except grpc.RpcError as error:
            return error


def test_a_response_has_it(server: LockstitchServer, token: str) -> None:
    call = list_sessions(server.target, token)
    assert call.code() is grpc.StatusCode.OK
    assert version_of(call) == __version__


def test_a_stream_has_it(server: LockstitchServer, token: str) -> None:
    with grpc.insecure_channel(server.target) as channel:
        method = channel.unary_stream(WALK_ANCESTORS.path, WALK_ANCESTORS.encode, WALK_ANCESTORS.decode)
        call = method(pb.WalkAncestorsRequest(session_id="none"), SECONDS, bearer(token))
        with pytest.raises(grpc.RpcError):
            next(call)
        assert call.code() is grpc.StatusCode.NOT_FOUND
        assert version_of(call) == __version__


def test_a_refusal_of_a_known_caller_has_it(server: LockstitchServer, token: str) -> None:
    with grpc.insecure_channel(server.target) as channel:
        call: Any = channel.stream_stream(SAVE_STREAM)(iter(()), SECONDS, bearer(token))
        with pytest.raises(grpc.RpcError):
            next(call)
        assert call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert version_of(call) == __version__


@pytest.mark.parametrize("wrong", [None, "lsk_another"])
def test_strangers_do_not_see_it(server: LockstitchServer, wrong: str | None) -> None:
    error = list_sessions(server.target, wrong)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert version_of(error) is None


def connect(target: str, token: str, **headers: str) -> Answer:
    return post(target, f"{CHECKPOINTS}ListSessions", {}, authorization=f"Bearer {token}", **headers)


def test_it_is_a_header_over_http(http: str, token: str) -> None:
    answer = connect(http, token)
    assert (answer.status, answer.headers[KEY]) == (200, __version__)
    assert connect(http, "lsk_another").headers.get(KEY) is None
    nothing = envelope(b"")
    walk = post(http, f"{CHECKPOINTS}WalkAncestors", nothing, "application/grpc-web", authorization=f"Bearer {token}")
    assert walk.headers[KEY] == __version__
