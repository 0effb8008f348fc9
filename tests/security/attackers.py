"""What attackers send, frame by frame, since no gRPC client would do it; and what it costs the server."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Self

import psutil

from tests.robustness.faults import process_of
from tests.support.server import LockstitchServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS = 1, 4
CLOSED_WINDOW = struct.pack(">HI", 4, 0)
"""A setting: answers may not have a byte until their stream says otherwise."""
CANCEL = struct.pack(">I", 8)
MIB = 1024 * 1024
SAMPLE_SECONDS = 0.02


class Growth:
    """Samples the memory of a server, with its processes, while the context is open."""

    def __init__(self, server: LockstitchServer) -> None:
        self._process = process_of(server)
        self._before = self._memory()
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self.most = 0
        """The largest growth seen, in bytes."""

    @property
    def now(self) -> int:
        """The growth now, in bytes."""
        return self._memory() - self._before

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.most = max(self.most, self.now)

    def _memory(self) -> int:
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def call_headers(path: str) -> bytes:
    """The header block of a gRPC call, as literals that need no table of HPACK."""
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    headers["content-type"] = "application/grpc"
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())


def call(stream: int, path: str, message: bytes) -> bytes:
    """The frames of a call with one short request."""
    data = b"\0" + struct.pack(">I", len(message)) + message
    return frame(HEADERS, END_HEADERS, stream, call_headers(path)) + frame(DATA, END_STREAM, stream, data)


@contextmanager
def connection(server: LockstitchServer, settings: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which HTTP/2 has begun. settings: the payload of the frame of settings."""
    host, _, port = server.target.rpartition(":")
    with closing(socket.create_connection((host, int(port)), 60)) as opened:
        opened.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        yield opened


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
