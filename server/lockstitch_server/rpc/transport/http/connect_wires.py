"""Connect: calls with one response as plain HTTP, and streams in envelopes."""

import base64
import json
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status

from lockstitch_server.rpc.transport.http.asgi_types import Event, Headers, Send
from lockstitch_server.rpc.transport.http.body import Body, SizeLimit, body_part, envelope, enveloped, whole
from lockstitch_server.rpc.transport.http.codecs import Codec
from lockstitch_server.rpc.transport.http.endpoints import Endpoint
from lockstitch_server.rpc.transport.http.envelope_wire import EnvelopeWire
from lockstitch_server.rpc.transport.http.packing import ENCODINGS, Packing
from lockstitch_server.rpc.transport.http.status import OK, CallStatus

END_STREAM = 2
"""The flags of the last envelope of a stream."""
HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""Statuses of HTTP for codes, as Connect has them. All others are 500."""


class ConnectUnaryWire:
    """A call with one request and one response: the body is the message; errors are JSON."""

    def __init__(
        self,
        body: Body,
        send: Send,
        endpoint: Endpoint,
        codec: Codec,
        packing: Packing,
        limit: SizeLimit,
        added: Headers,
    ) -> None:
        """added: further headers of the response, of which the list has all when it begins."""
        self._added = added
        self._body = body
        self._send = send
        self._endpoint = endpoint
        self._codec = codec
        self._packing = packing
        self._limit = codec.limit(limit)
        self._was_read = False
        self._ended = False

    async def read(self) -> bytes | None:
        if self._was_read:
            return None
        self._was_read = True
        data = await whole(self._body, self._limit)
        self._packing.check(data, is_packed=self._packing.is_named)
        message = await self._codec.decode(self._endpoint.request, data, self._limit, self._body.held.tenant)
        self._body.held.release()
        return message

    async def write(self, message: bytes, *, last: bool) -> None:
        await self._respond(200, f"application/{self._codec.name}", message)

    async def end(self, status: CallStatus) -> None:
        if not self._ended:
            body = json.dumps(error_of(status)).encode()
            await self._respond(HTTP_STATUS.get(status.code, 500), "application/json", body)

    async def _respond(self, status: int, media: str, body: bytes) -> None:
        self._ended = True
        headers = [
            (b"content-type", media.encode()),
            (b"accept-encoding", ENCODINGS),
            (b"content-length", str(len(body)).encode()),
            *self._added,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send(body_part(body, last=True))


class ConnectStreamWire(EnvelopeWire):
    """A stream: messages in envelopes; the last envelope is JSON with the error, if there is one."""

    def _ending(self, message: bytes | None, status: CallStatus) -> list[Event]:
        return enveloped(message, _end(status), last=True)

    def _refusal(self, status: CallStatus) -> list[Event]:
        return [self._start((), has_trailers=False), *self._ending(None, status)]


def _end(status: CallStatus) -> bytes:
    return envelope(END_STREAM, json.dumps({} if status.code is OK.code else {"error": error_of(status)}).encode())


def error_of(status: CallStatus) -> dict[str, Any]:
    """An error as Connect has it in JSON. `debug` is for people: what `value` holds."""
    code = "canceled" if status.code is grpc.StatusCode.CANCELLED else status.code.name.lower()
    error: dict[str, Any] = {"code": code}
    if status.message:
        error["message"] = status.message
    if status.details:
        error["details"] = [
            {
                "type": detail.TypeName(),
                "value": base64.b64encode(detail.value).rstrip(b"=").decode(),
                "debug": {name: value for name, value in MessageToDict(detail).items() if name != "@type"},
            }
            for detail in Status.FromString(status.details).details
        ]
    return error
