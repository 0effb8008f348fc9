"""HTTP/2, frame by frame: how responses of gRPC end, and floods of frames that no client sends."""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from hpack import Decoder

from tests.http.requests import CHECKPOINTS, ask
from tests.security.attackers import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MIB,
    SETTINGS,
    Growth,
    call,
    call_headers,
    connection,
    frame,
)
from tests.support.server import LockstitchServer

LOAD = f"{CHECKPOINTS}LoadLatest"
LIST = f"{CHECKPOINTS}ListSessions"
PRIORITY, PING, WINDOW_UPDATE, CONTINUATION = 2, 6, 8, 9
SECONDS = 60
FLOOD_BYTES = 4 * MIB
TABLES = struct.pack(">HIHI", 1, 0, 1, 65_535)
"""Two settings of HPACK's table: it is emptied, and grows again."""
FLOODS = {
    "pings": (b"", frame(PING, 0, 0, bytes(8))),
    "settings": (b"", frame(SETTINGS, 0, 0, TABLES)),
    "priorities": (b"", frame(PRIORITY, 0, 1, bytes(5))),
    "window updates of nothing": (b"", frame(WINDOW_UPDATE, 0, 0, bytes(4))),
    "headers without an end": (frame(HEADERS, 0, 1, call_headers(LOAD)), frame(CONTINUATION, 0, 1)),
    "data without bytes": (frame(HEADERS, END_HEADERS, 1, call_headers(LOAD)), frame(DATA, 0, 1)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_of_frames(server: LockstitchServer, name: str) -> None:
    """Their sender reads no answers. They take no memory, and others are served."""
    first, again = FLOODS[name]
    chunk = again * (64 * 1024 // len(again))
    with Growth(server) as growth, connection(server) as attacker:
        attacker.settimeout(1)
        with contextlib.suppress(OSError):  # the server stops to read, or closes the connection
            attacker.sendall(first)
            for _ in range(FLOOD_BYTES // len(chunk)):
                attacker.sendall(chunk)
        assert ask(server.target, "GET", "/healthz").status == 200
    assert growth.most < 20 * MIB


def test_a_call_ends_with_trailers(server: LockstitchServer) -> None:
    assert _ends(server, call(1, LIST, b"")) == [(HEADERS, False), (DATA, False), (HEADERS, True)]


def test_an_error_is_one_frame(server: LockstitchServer) -> None:
    """Trailers only, as gRPC calls it: clients take headers that do not end the stream for a response that goes on."""
    for path in (LOAD, "/nothing.Service/Nothing"):
        assert _ends(server, call(1, path, b"")) == [(HEADERS, True)]


def test_a_call_without_te(server: LockstitchServer) -> None:
    """Something in between has dropped it, and would drop the trailers."""
    block = call_headers(LIST).replace(b"\0\x02te\x08trailers", b"")
    with connection(server) as opened:
        opened.sendall(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        ((_, _, payload),) = list(_frames(opened))
    found = {bytes(name): bytes(value) for name, value in Decoder().decode(payload, raw=True)}
    assert found[b"grpc-status"] == b"13"


def _ends(server: LockstitchServer, sent: bytes) -> list[tuple[int, bool]]:
    """The frames of the response to the first call of a connection, and whether they end it."""
    with connection(server) as opened:
        opened.sendall(sent)
        return [(kind, bool(flags & END_STREAM)) for kind, flags, _ in _frames(opened)]


def _frames(opened: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Kind, flags and payload of the frames of the first stream, until it ends."""
    opened.settimeout(SECONDS)
    flags = 0
    with opened.makefile("rb") as received:
        while not flags & END_STREAM:
            head = received.read(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = received.read(int.from_bytes(head[:3], "big"))
            if stream != 1:
                flags = 0
            else:
                yield kind, flags, payload
