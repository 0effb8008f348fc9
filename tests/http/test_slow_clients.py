"""Clients that send or read slowly: a call lasts, and holds memory, within bounds."""

import base64
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, TypedBlob
from tests.http.requests import CHECKPOINTS, JSON, SESSIONS, envelope, envelopes, post, web_trailers
from tests.security.attackers import MIB, Growth
from tests.support.server import LockstitchServer

LOAD = f"{CHECKPOINTS}LoadLatest"
SAVE = f"{CHECKPOINTS}Save"
SECONDS = 60
READERS, TEXT_READERS = 6, 60
IMPATIENT = ("http.body_seconds=1", "http.body_bytes_per_second=1KiB")


@contextmanager
def serving(*settings: str) -> Iterator[LockstitchServer]:
    arguments = [f"--set={setting}" for setting in settings]
    with LockstitchServer("memory://", [*arguments, "--log-level=debug"], door="http") as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[LockstitchServer]:
    with serving(*IMPATIENT) as server:
        yield server


def opened_to(server: LockstitchServer, receive_bytes: int = 0) -> socket.socket:
    host, _, port = server.target.rpartition(":")
    opened = socket.socket()
    if receive_bytes:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    opened.settimeout(SECONDS)
    opened.connect((host, int(port)))
    return opened


def head(path: str, media: str, size: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media}\r\ncontent-length: {size}\r\n\r\n".encode()


@pytest.mark.parametrize("path", [LOAD, SAVE])
@pytest.mark.parametrize(
    ("media", "begin", "ended"),
    [
        (JSON, b'{"sessionId": "', b"deadline_exceeded"),
        ("application/grpc-web", b"\0\0\0\1\0", b"grpc-status: 4"),
        ("application/grpc-web-text", b"AAAAAQAA", b"grpc-status: 4"),
    ],
)
def test_a_body_that_trickles(impatient: LockstitchServer, path: str, media: str, begin: bytes, ended: bytes) -> None:
    """Every byte is in time, and the call ends nevertheless."""
    with closing(opened_to(impatient)) as slow:
        slow.sendall(head(path, media, 100_000) + begin)
        assert ended in _answer_to_a_trickle(slow, b"A")


def test_a_message_of_a_stream_that_trickles(impatient: LockstitchServer) -> None:
    """Messages of a SaveStream may be far apart, but one that has begun must arrive."""
    with closing(opened_to(impatient)) as slow:
        slow.sendall(head(f"{CHECKPOINTS}SaveStream", "application/grpc-web", 100_000) + b"\0\0\0\1\0")
        answer = _answer_to_a_trickle(slow, b"\0")
    assert b"grpc-status: 4" in answer
    assert b"http.body_seconds" in answer


def test_a_message_whose_rest_does_not_come(impatient: LockstitchServer) -> None:
    """Much of it came at once. That gives the rest more time, but no part of it."""
    with closing(opened_to(impatient)) as slow:
        part = envelope(bytes(200_000))[:100_000]
        slow.sendall(head(LOAD, "application/grpc-web", 200_005) + part)
        assert b"grpc-status: 4" in slow.recv(65536)


def _answer_to_a_trickle(slow: socket.socket, byte: bytes) -> bytes:
    """What the server answers while it is sent a byte now and then."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if select.select([slow], [], [], 0.2)[0]:
            return b"".join(iter(lambda: slow.recv(65536), b""))
        slow.sendall(byte)
    raise AssertionError("the call has not ended")


def test_a_large_body_takes_longer(impatient: LockstitchServer) -> None:
    """What arrives at the rate that is asked for is waited for."""
    body = pb.LoadLatestRequest(session_id="s").SerializeToString()
    packed = envelope(body + b"\xfa\x7d" + b"\xff\x7f" + bytes(16_383))  # an unknown field of 16 KiB
    with closing(opened_to(impatient)) as slow:
        slow.sendall(head(LOAD, "application/grpc-web", len(packed)))
        for start in range(0, len(packed), 4096):
            slow.sendall(packed[start : start + 4096])
            select.select([slow], [], [], 0.5)
        assert b"grpc-status: 0" in slow.recv(65536)


def test_answers_that_nobody_reads() -> None:
    """They are held in the memory of answers, which is bounded, and ended after a while."""
    checkpoint = Checkpoint(session_id="s", header=TypedBlob(data=os.urandom(8 * MIB)))
    with serving("http.stall_seconds=1", "queue.max_answer_bytes=20MiB") as server, ExitStack() as stack:
        save = pb.SaveRequest(checkpoint=checkpoint).SerializeToString()
        assert post(server.target, SAVE, save, "application/proto").status == 200
        asked = pb.LoadLatestRequest(session_id="s").SerializeToString()
        assert len(post(server.target, LOAD, asked, "application/proto").body) > 8 * MIB
        with Growth(server) as growth:
            for _ in range(READERS):
                reader = stack.enter_context(closing(opened_to(server, receive_bytes=4096)))
                reader.sendall(head(LOAD, "application/proto", len(asked)) + asked)
            eventually(lambda: server.log.read_text().count("read nothing") >= READERS)
        assert growth.most < 50 * MIB
        assert post(server.target, LOAD, asked, "application/proto").status == 200


def test_texts_that_nobody_reads() -> None:
    """JSON counts as what it is, and so does the memory that it takes to be made. Base64 is made slice by slice."""
    asked = {JSON: b'{"sessionId": "s"}', "application/grpc-web-text": base64.b64encode(envelope(b"\x0a\x01s"))}
    with serving("http.stall_seconds=1", "queue.max_answer_bytes=32MiB") as server:
        body = {"checkpoint": {"sessionId": "s", "state": {"messages": {"items": [{"content": "x" * 4_000_000}]}}}}
        assert post(server.target, SAVE, body).status == 200
        for number, (media, request) in enumerate(asked.items(), 1):
            assert len(post(server.target, LOAD, request, media).body) > 4_000_000
            with Growth(server) as growth, ExitStack() as stack:
                for _ in range(TEXT_READERS):
                    reader = stack.enter_context(closing(opened_to(server, receive_bytes=4096)))
                    reader.sendall(head(LOAD, media, len(request)) + request)
                stalled = number * READERS
                eventually(lambda stalled=stalled: server.log.read_text().count("read nothing") >= stalled)  # type: ignore[misc]
            assert growth.most < 80 * MIB, media


@pytest.mark.parametrize("media", ["text/plain", JSON])
def test_what_trickles_after_an_answer_ends(media: str) -> None:
    """A request that is refused by its headers, whose body comes byte by byte."""
    with serving(*IMPATIENT) as server, closing(opened_to(server)) as slow:
        slow.sendall(head("/nothing", media, 100_000))
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
        assert b"connection: close" in answer.lower()
        eventually(lambda: _is_closed(slow))


def _is_closed(slow: socket.socket) -> bool:
    try:
        slow.sendall(b"x")
    except ConnectionError:
        return True
    return False


def eventually(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_watch_over_http1_ends() -> None:
    """The server may not notice that its client has left."""
    with serving("http.http1_call_seconds=1") as server:
        post(server.target, SAVE, {"checkpoint": {"sessionId": "s"}})
        asked = envelope(b'{"sessionId": "s"}')
        answer = post(server.target, f"{SESSIONS}WatchSession", asked, "application/grpc-web+json")
    assert web_trailers(list(envelopes(answer.body))[-1][1])["grpc-status"] == "4"


def test_requests_beyond_those_of_a_server() -> None:
    """Also those count whose bodies have not arrived."""
    with serving("http.max_requests=3") as server, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(closing(opened_to(server))).sendall(head(LOAD, JSON, 100))
        end = time.monotonic() + SECONDS
        while post(server.target, LOAD, {"sessionId": "s"}).status != 503:
            assert time.monotonic() < end
            # One of the first three may have been refused, if this request was counted before it.
            stack.enter_context(closing(opened_to(server))).sendall(head(LOAD, JSON, 100))
        stack.close()
        while post(server.target, LOAD, {"sessionId": "s"}).status != 200:
            assert time.monotonic() < end
