"""Native gRPC, and gRPC-Web, which sends the trailers in the body."""

import base64

from lockstitch_server.rpc.errors import DETAILS_KEY
from lockstitch_server.rpc.transport.http.asgi_types import Event, Headers, Send
from lockstitch_server.rpc.transport.http.body import body_part, envelope, enveloped
from lockstitch_server.rpc.transport.http.envelope_wire import EnvelopeWire
from lockstitch_server.rpc.transport.http.headers import binary, percent_encoded
from lockstitch_server.rpc.transport.http.slices import SLICE_BYTES, cut
from lockstitch_server.rpc.transport.http.status import CallStatus

TRAILERS_FLAG = 0x80
"""Of the last envelope of a gRPC-Web response."""
TEXT_SLICE_BYTES = SLICE_BYTES // 4 * 3
"""Bytes that fill a slice in base64."""


class GrpcWire(EnvelopeWire):
    """Native gRPC: the status is in the trailers; where nothing was sent before it, in the headers."""

    END_FLAG = TRAILERS_FLAG
    TRAILERS = True

    def _ending(self, message: bytes | None, status: CallStatus) -> list[Event]:
        trailers = {"type": "http.response.trailers", "headers": status_headers(status), "more_trailers": False}
        return [*enveloped(message, last=True), trailers]

    def _refusal(self, status: CallStatus) -> list[Event]:
        return [self._start(status_headers(status), has_trailers=False), body_part(b"", last=True)]


class GrpcWebWire(GrpcWire):
    """gRPC-Web: the trailers are the last envelope of the body."""

    TRAILERS = False

    def _ending(self, message: bytes | None, status: CallStatus) -> list[Event]:
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in status_headers(status))
        return enveloped(message, envelope(TRAILERS_FLAG, lines), last=True)


def in_base64(send: Send) -> Send:
    """For gRPC-Web in text: bodies go out in base64, in parts that are padded by themselves."""

    async def sending(event: Event) -> None:
        if event.get("body"):
            for part in cut(event, TEXT_SLICE_BYTES):
                await send({**part, "body": base64.b64encode(part["body"])})
        else:
            await send(event)

    return sending


def status_headers(status: CallStatus) -> Headers:
    """The status as headers or trailers."""
    found = [(b"grpc-status", str(status.number).encode())]
    if status.message:
        found.append((b"grpc-message", percent_encoded(status.message)))
    if status.details:
        found.append((DETAILS_KEY.encode(), binary(status.details)))
    return found
