"""From a request's content type to the protocol that it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass

from lockstitch_server.rpc.transport.http.arrival import Arrival, Pace
from lockstitch_server.rpc.transport.http.asgi_types import Headers, Send
from lockstitch_server.rpc.transport.http.body import Base64Body, Body
from lockstitch_server.rpc.transport.http.codecs import Codec
from lockstitch_server.rpc.transport.http.connect_wires import ConnectStreamWire, ConnectUnaryWire
from lockstitch_server.rpc.transport.http.endpoints import Endpoint
from lockstitch_server.rpc.transport.http.grpc_wires import GrpcWebWire, GrpcWire, in_base64
from lockstitch_server.rpc.transport.http.headers import connect_timeout, first, grpc_timeout
from lockstitch_server.rpc.transport.http.packing import Packing
from lockstitch_server.rpc.transport.http.wire import Wire

GRPC, WEB, WEB_TEXT, CONNECT, CONNECT_STREAM = "grpc", "grpc-web", "grpc-web-text", "connect", "connect-stream"
FAMILIES = {GRPC: "application/grpc", WEB: "application/grpc-web", WEB_TEXT: "application/grpc-web-text"}


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol with a format of its messages."""

    family: str
    codec: Codec

    @property
    def is_connect(self) -> bool:
        return self.family in (CONNECT, CONNECT_STREAM)

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether it can carry the calls of a method."""
        has_streams = endpoint.has_many_requests or endpoint.has_many_responses
        return not self.is_connect or has_streams == (self.family == CONNECT_STREAM)

    def is_duplex(self, endpoint: Endpoint) -> bool:
        """Whether requests and responses of a method overlap, which HTTP/1.1 cannot carry."""
        return self.family == CONNECT_STREAM and endpoint.has_many_requests and endpoint.has_many_responses

    def seconds(self, headers: Headers) -> float | None:
        """How long a call may take, by its headers; None: no limit. Fails with INVALID_FIELD."""
        if self.is_connect:
            return connect_timeout(first(headers, b"connect-timeout-ms"))
        return grpc_timeout(first(headers, b"grpc-timeout"))

    def wire(self, body: Body, send: Send, endpoint: Endpoint, headers: Headers, pace: Pace) -> Wire:
        """How it speaks on one request."""
        codec, limit = self.codec, endpoint.limit
        arrival = Arrival(Base64Body(body) if self.family == WEB_TEXT else body, pace)
        if self.family == CONNECT:
            packing = _packing(headers, "content-encoding")
            return ConnectUnaryWire(arrival, send, endpoint, codec, packing, limit)
        if self.family == CONNECT_STREAM:
            packing = _packing(headers, "connect-content-encoding")
            return ConnectStreamWire(arrival, send, endpoint, codec, packing, limit)
        packing, media = _packing(headers, "grpc-encoding"), f"{FAMILIES[self.family]}+{codec.name}"
        if self.family == GRPC:
            return GrpcWire(arrival, send, endpoint, codec, packing, limit, media)
        if self.family == WEB:
            return GrpcWebWire(arrival, send, endpoint, codec, packing, limit, media)
        return GrpcWebWire(arrival, in_base64(send), endpoint, codec, packing, limit, media)


def _packing(headers: Headers, name: str) -> Packing:
    return Packing(name, first(headers, name.encode()).strip().lower())


def protocols_of(proto: Codec, json: Codec) -> Mapping[str, Protocol]:
    """All protocols by their media types."""
    found = {"application/proto": Protocol(CONNECT, proto), "application/json": Protocol(CONNECT, json)}
    for codec in (proto, json):
        found[f"application/connect+{codec.name}"] = Protocol(CONNECT_STREAM, codec)
        for family, media in FAMILIES.items():
            found[f"{media}+{codec.name}"] = Protocol(family, codec)
    for family, media in FAMILIES.items():
        found[media] = Protocol(family, proto)
    return found


def media_type(headers: Headers) -> str:
    """The media type of a request, in lower case and without parameters; empty for a charset that is not UTF-8."""
    media, _, parameters = first(headers, b"content-type").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip().strip('"')
    return media.strip() if charset in ("", "utf-8", "utf8") else ""
