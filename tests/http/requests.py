"""Requests as any HTTP client sends them, and the parts of responses of gRPC-Web and Connect."""

import base64
import http.client
import json
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

SECONDS = 60
CHECKPOINTS = "/lockstitch.v1.CheckpointService/"
SESSIONS = "/lockstitch.v1.SessionService/"
JSON = "application/json"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    target: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """A request over HTTP/1.1. target: host:port, or unix:path."""
    with closing(_connection(target, context)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def post(target: str, path: str, body: object, media: str = JSON, **headers: str) -> Answer:
    """A POST. body: bytes, or what is to be JSON. headers: with _ for -."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(target, "POST", path, data, {"content-type": media, **named})


def _connection(target: str, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if target.startswith("unix:"):
        connection = http.client.HTTPConnection("localhost", timeout=SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(SECONDS)
        connection.sock.connect(target.removeprefix("unix:"))
        return connection
    if context is not None:
        return http.client.HTTPSConnection(target, timeout=SECONDS, context=context)
    return http.client.HTTPConnection(target, timeout=SECONDS)


def envelope(message: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


def envelopes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Flags and bytes of each message."""
    while body:
        flags, size = struct.unpack_from(">BI", body)
        assert len(body) >= 5 + size, "a message is cut off"
        yield flags, body[5 : 5 + size]
        body = body[5 + size :]


def web_trailers(data: bytes) -> dict[str, str]:
    """The last envelope of gRPC-Web."""
    lines = data.decode().removesuffix("\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


def from_base64(body: bytes) -> bytes:
    """Parts in base64, each padded by itself."""
    parts = body.replace(b"=", b"= ").replace(b"= =", b"==").split()
    return b"".join(base64.b64decode(part, validate=True) for part in parts)
