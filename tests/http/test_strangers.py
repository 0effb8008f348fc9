"""Callers without credentials at the HTTP door: what they can make the server do is bounded, and others are served."""

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hpack import Decoder

from tests.http.requests import CHECKPOINTS, JSON, envelope, post
from tests.security.attackers import (
    CANCEL,
    CLOSED_WINDOW,
    END_HEADERS,
    HEADERS,
    MIB,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Growth,
    call,
    call_headers,
    connection,
    frame,
)
from tests.security.callers import make_key
from tests.support.server import LockstitchServer

LOAD = f"{CHECKPOINTS}LoadLatest"
CHECK = "/grpc.health.v1.Health/Check"
GOAWAY, CONTINUATION = 7, 9
ENHANCE_YOUR_CALM, REFUSED_STREAM = 11, 7
SECONDS = 60


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def key(keys: Path) -> str:
    return make_key(keys, "runner", ["acme"])


@pytest.fixture(scope="module")
def server(key: str, keys: Path) -> Iterator[LockstitchServer]:
    """A server that asks who calls, and is soon tired of waiting."""
    arguments = ["--set", f"auth.keys={keys}", "--set=http.request_seconds=1", "--set=limits.max_connection_calls=50"]
    with LockstitchServer("memory://", arguments, door="http") as running:
        yield running


@pytest.fixture(autouse=True)
def _others_are_served(server: LockstitchServer, key: str) -> Iterator[None]:
    yield
    answer = post(server.target, LOAD, {"sessionId": "s"}, authorization=f"Bearer {key}")
    assert answer.status == 200


def rest(opened: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    opened.settimeout(SECONDS)
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := opened.recv(65536):
            received += part
    return received


def opened_to(server: LockstitchServer) -> socket.socket:
    host, _, port = server.target.rpartition(":")
    return socket.create_connection((host, int(port)), SECONDS)


def test_calls_that_are_opened_and_reset_at_once(server: LockstitchServer) -> None:
    """HTTP/2 rapid reset: the connection is closed, and says why."""
    headers = call_headers(LOAD)
    with Growth(server) as growth, connection(server) as attacker:
        with contextlib.suppress(ConnectionError):
            for stream in range(1, 40_000, 2):
                attacker.sendall(frame(HEADERS, END_HEADERS, stream, headers) + frame(RST_STREAM, 0, stream, CANCEL))
        assert frame_of(rest(attacker), GOAWAY)[4:8] == struct.pack(">I", ENHANCE_YOUR_CALM)
    assert growth.most < 60 * MIB


def test_calls_beyond_those_of_a_connection_are_refused(server: LockstitchServer) -> None:
    with connection(server) as attacker:
        for stream in range(1, 120, 2):  # 60 calls whose requests do not arrive
            attacker.sendall(frame(HEADERS, END_HEADERS, stream, call_headers(CHECK)))
        received = b""
        attacker.settimeout(SECONDS)
        while struct.pack(">I", REFUSED_STREAM) not in received:
            received += attacker.recv(65536)


def test_an_upgrade_to_http2_passes_no_limit(server: LockstitchServer) -> None:
    """Nobody can turn it off in h2corn. Calls after it are authenticated and counted as on any connection."""
    upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    with closing(opened_to(server)) as attacker:
        attacker.sendall(f"GET /healthz HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += attacker.recv(65536)
        head, _, received = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        attacker.sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + call(3, LOAD, b""))
        for stream in range(5, 125, 2):
            attacker.sendall(frame(HEADERS, END_HEADERS, stream, call_headers(CHECK)))
        while b"CREDENTIALS_MISSING" not in _details(received) or struct.pack(">I", REFUSED_STREAM) not in received:
            part = attacker.recv(65536)
            assert part, "the connection ended"
            received += part


def _details(received: bytes) -> bytes:
    """The details of the status in the headers of the responses so far."""
    found, decoder = b"", Decoder()
    while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3], "big")):
        if received[3] == HEADERS:
            for name, value in decoder.decode(received[9:end], raw=True):
                if name == b"grpc-status-details-bin":
                    found += base64.b64decode(value + b"==")
        received = received[end:]
    return found


def test_headers_without_an_end(server: LockstitchServer) -> None:
    """CONTINUATION frames, one after the other: they are bounded together."""
    with Growth(server) as growth, connection(server) as attacker:
        with contextlib.suppress(ConnectionError):
            attacker.sendall(frame(HEADERS, 0, 1, call_headers(LOAD)))
            for _ in range(2000):
                attacker.sendall(frame(CONTINUATION, 0, 1, b"\0\x01x\x7f\x81\x7f" + b"y" * 256))
        rest(attacker)
    assert growth.most < 20 * MIB


@pytest.mark.parametrize("size", [33 * 1024, 2 * MIB])
def test_headers_that_are_too_large(server: LockstitchServer, size: int) -> None:
    with closing(opened_to(server)) as attacker:
        with contextlib.suppress(ConnectionError):
            attacker.sendall(f"POST {LOAD} HTTP/1.1\r\nhost: x\r\nx-large: {'x' * size}\r\n\r\n".encode())
        assert rest(attacker)[9:12] in (b"400", b"413", b"431", b"")


@pytest.mark.parametrize(
    "begin",
    [b"", b"POST / HTTP/1.1\r\nhost: ", b"PRI * HTTP/2.0\r\n\r\nS", f"POST {LOAD} HTTP/1.1\r\n".encode()],
)
def test_whoever_is_slow_is_sent_away(server: LockstitchServer, begin: bytes) -> None:
    """Slow headers: nobody holds a connection without a request."""
    with closing(opened_to(server)) as slow:
        slow.sendall(begin)
        rest(slow)  # which returns when the server closes it


def test_a_body_that_does_not_come(server: LockstitchServer, key: str) -> None:
    head = f"POST {LOAD} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\nauthorization: Bearer {key}\r\n"
    with closing(opened_to(server)) as slow:
        slow.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        assert rest(slow)[9:12] in (b"408", b"400", b"")


async def test_bodies_of_strangers_are_not_read(server: LockstitchServer) -> None:
    """They are refused by their headers; what they send meanwhile fills its window, and no more."""
    bomb = gzip.compress(bytes(100 * MIB))
    with Growth(server) as growth:
        answers = await asyncio.gather(
            *(
                asyncio.to_thread(post, server.target, LOAD, body, media, **headers)
                for body, media, headers in (
                    (bomb, JSON, {"content_encoding": "gzip"}),
                    (bomb, "application/proto", {"content_encoding": "gzip"}),
                    (envelope(bomb, 1), "application/grpc-web", {"grpc_encoding": "gzip"}),
                    (b"[" * MIB, JSON, {}),
                )
            )
        )
    assert [answer.status for answer in answers] == [401, 401, 200, 401]
    assert answers[2].headers["grpc-status"] == "16"
    assert growth.most < 40 * MIB


def test_what_is_sent_to_health_is_bounded(server: LockstitchServer) -> None:
    for body in (json.dumps({"service": "x" * 100_000}).encode(), gzip.compress(bytes(MIB))):
        encoding = {"content_encoding": "gzip"} if body[0] == 0x1F else {}
        assert post(server.target, CHECK, body, **encoding).json["code"] in ("resource_exhausted", "invalid_argument")


def test_json_that_unpacks_to_much(server: LockstitchServer) -> None:
    """What anybody may send is bounded when it is unpacked, too, and nothing of it stays."""
    bomb = gzip.compress(b'{"service": [' + b"1," * MIB + b"1]}")
    with Growth(server) as growth:
        for _ in range(5):
            answer = post(server.target, CHECK, bomb, content_encoding="gzip")
            assert answer.json["code"] == "resource_exhausted"
    assert growth.most < 20 * MIB


def test_json_with_half_a_character(server: LockstitchServer) -> None:
    assert post(server.target, CHECK, b'{"\\ud800": 1}').json["code"] == "invalid_argument"


@pytest.mark.parametrize("media", [JSON, "application/grpc-web", "text/plain"])
@pytest.mark.parametrize("path", [LOAD, f"{CHECKPOINTS}SaveStream", "/nothing"])
def test_an_answer_before_the_body_ends_the_connection(server: LockstitchServer, path: str, media: str) -> None:
    """Nobody holds a connection by a body that never comes."""
    with closing(opened_to(server)) as slow:
        slow.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media}\r\ncontent-length: 9\r\n\r\n".encode())
        assert b"connection: close" in rest(slow).lower()  # which returns when the server closes it


def test_a_connection_lasts_when_its_bodies_are_read(server: LockstitchServer) -> None:
    request = f"POST {CHECK} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 2\r\n"
    with closing(opened_to(server)) as opened:
        opened.sendall(f"{request}\r\n{{}}{request}connection: close\r\n\r\n{{}}".encode())
        assert rest(opened).count(b"HTTP/1.1 200") == 2


def test_watches_of_health_over_http1(server: LockstitchServer) -> None:
    """They would not end when their clients leave."""
    answer = post(server.target, "/grpc.health.v1.Health/Watch", envelope(b""), "application/grpc-web")
    assert (answer.headers["grpc-status"], "HTTP/2" in answer.headers["grpc-message"]) == ("12", True)


def test_websockets_are_refused(server: LockstitchServer) -> None:
    upgrade = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    with closing(opened_to(server)) as attacker:
        key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        attacker.sendall(f"GET / HTTP/1.1\r\nhost: x\r\n{upgrade}{key}\r\n\r\n".encode())
        assert rest(attacker)[9:12] == b"403"


def test_a_window_that_stays_closed(server: LockstitchServer) -> None:
    """Whoever takes no responses: they wait, within bounds, and the connection's other calls are refused at last."""
    with ExitStack() as stack:
        growth = stack.enter_context(Growth(server))
        for _ in range(10):
            attacker = stack.enter_context(connection(server, CLOSED_WINDOW))
            for stream in range(1, 100, 2):
                attacker.sendall(call(stream, CHECK, b""))
    assert growth.most < 40 * MIB


@pytest.mark.parametrize(
    "head",
    [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ncontent-length: 5",
        "content-length: +4",
        "content-length: 4, 4x",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding : chunked",
        "content-length: -1",
    ],
)
def test_requests_whose_end_is_in_doubt(server: LockstitchServer, head: str) -> None:
    """A proxy in front may see another end than the server: nothing behind such a request is taken for a request."""
    hidden = f"POST {CHECK} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 2\r\n\r\n{{}}"
    with closing(opened_to(server)) as attacker:
        start = f"POST {CHECK} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\n{head}\r\n\r\n0\r\n\r\n"
        attacker.sendall((start + hidden).encode())
        answered = rest(attacker)
    assert answered.count(b"HTTP/1.1 ") <= 1
    assert b"SERVING" not in answered


@pytest.mark.parametrize("value", ["a\rb: c", "a\0b"])
def test_headers_with_controls_within(server: LockstitchServer, value: str) -> None:
    with closing(opened_to(server)) as attacker:
        attacker.sendall(f"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: {value}\r\nconnection: close\r\n\r\n".encode())
        assert rest(attacker)[9:12] == b"400"


def frame_of(received: bytes, kind: int) -> bytes:
    """The payload of the last frame of a kind."""
    found = b""
    while len(received) >= 9:
        size = int.from_bytes(received[:3], "big")
        if received[3] == kind:
            found = received[9 : 9 + size]
        received = received[9 + size :]
    return found
