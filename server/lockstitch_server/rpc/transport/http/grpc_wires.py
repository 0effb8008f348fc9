"""Native gRPC, and gRPC-Web, which sends the trailers in the body."""

import base64

import grpc

from lockstitch_server.rpc.errors import DETAILS_KEY
from lockstitch_server.rpc.transport.http.arrival import Arrival
from lockstitch_server.rpc.transport.http.asgi_types import Headers, Send
from lockstitch_server.rpc.transport.http.body import Envelopes, SizeLimit, envelope
from lockstitch_server.rpc.transport.http.codecs import Codec
from lockstitch_server.rpc.transport.http.endpoints import Endpoint
from lockstitch_server.rpc.transport.http.headers import binary, percent_encoded
from lockstitch_server.rpc.transport.http.packing import ENCODINGS, PACKED, PLAIN, Packing
from lockstitch_server.rpc.transport.http.status import OK, CallAborted, CallStatus

TRAILERS = 0x80
"""The flags of the last envelope of a gRPC-Web response."""


class GrpcWire:
    """Native gRPC: the status is in the trailers; where nothing was sent before it, in the headers."""

    def __init__(
        self,
        body: Arrival,
        send: Send,
        endpoint: Endpoint,
        codec: Codec,
        packing: Packing,
        limit: SizeLimit,
        media: str,
    ) -> None:
        """packing: how the request's messages may be packed. media: the response's content type."""
        self._limit = codec.limit(limit)
        self._envelopes = Envelopes(body, self._limit, may_pause=endpoint.has_many_requests)
        self._send = send
        self._endpoint = endpoint
        self._codec = codec
        self._packing = packing
        self._media = media.encode()
        self._began = False
        self._ended = False

    async def read(self) -> bytes | None:
        found = await self._envelopes.next()
        if found is None:
            return None
        flags, data = found
        if flags not in (PLAIN, PACKED):
            if flags & TRAILERS:  # trailers of a request say nothing
                return None
            raise CallAborted(CallStatus(grpc.StatusCode.INTERNAL, f"request: a message has the unknown flags {flags}"))
        self._packing.check(data, is_packed=flags == PACKED)
        return await self._codec.decode(self._endpoint.request, data, self._limit)

    async def write(self, message: bytes, *, last: bool) -> None:
        data = envelope(PLAIN, await self._codec.encode(self._endpoint.response, message))
        await self._begin()
        if last:
            await self._finish(data, OK)
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, status: CallStatus) -> None:
        if self._ended:
            return
        if self._began:
            await self._finish(b"", status)
            return
        self._began = self._ended = True
        headers = [(b"content-type", self._media), (b"grpc-accept-encoding", ENCODINGS), *status_headers(status)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        if not self._began:
            self._began = True
            headers = [(b"content-type", self._media), (b"grpc-accept-encoding", ENCODINGS)]
            await self._send(
                {"type": "http.response.start", "status": 200, "headers": headers, "trailers": self._has_trailers}
            )

    _has_trailers = True

    async def _finish(self, data: bytes, status: CallStatus) -> None:
        self._ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        await self._send({"type": "http.response.trailers", "headers": status_headers(status), "more_trailers": False})


class GrpcWebWire(GrpcWire):
    """gRPC-Web: the trailers are the last envelope of the body."""

    _has_trailers = False

    async def _finish(self, data: bytes, status: CallStatus) -> None:
        self._ended = True
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in status_headers(status))
        body = data + envelope(TRAILERS, lines)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def in_base64(send: Send) -> Send:
    """For gRPC-Web in text: bodies go out in base64, each by itself."""

    async def sending(event: dict[str, object]) -> None:
        body = event.get("body")
        await send({**event, "body": base64.b64encode(body)} if isinstance(body, bytes) else event)

    return sending  # type: ignore[return-value]


def status_headers(status: CallStatus) -> Headers:
    """The status as headers or trailers."""
    found = [(b"grpc-status", str(status.number).encode())]
    if status.message:
        found.append((b"grpc-message", percent_encoded(status.message)))
    if status.details:
        found.append((DETAILS_KEY.encode(), binary(status.details)))
    return found
