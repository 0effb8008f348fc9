"""From a request's content type to the protocol that it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass

from lockstitch_server.rpc.transport.http.arrival import Arrival, Pace
from lockstitch_server.rpc.transport.http.asgi_types import Headers, Send
from lockstitch_server.rpc.transport.http.body import Base64Body, Body
from lockstitch_server.rpc.transport.http.codecs import Codec
from lockstitch_server.rpc.transport.http.connect_wires import ConnectStreamWire, ConnectUnaryWire
from lockstitch_server.rpc.transport.http.endpoints import Endpoint
from lockstitch_server.rpc.transport.http.envelope_wire import EnvelopeWire
from lockstitch_server.rpc.transport.http.grpc_wires import GrpcWebWire, GrpcWire, in_base64
from lockstitch_server.rpc.transport.http.headers import (
    Named,
    check_connect_version,
    connect_timeout,
    first,
    grpc_timeout,
)
from lockstitch_server.rpc.transport.http.packing import ENCODINGS, Packing
from lockstitch_server.rpc.transport.http.wire import Wire
from lockstitch_server.rpc.transport.request_memory import HeldRequest

GRPC, WEB, WEB_TEXT, CONNECT, CONNECT_STREAM = "grpc", "grpc-web", "grpc-web-text", "connect", "connect-stream"
FAMILIES = {
    GRPC: "application/grpc",
    WEB: "application/grpc-web",
    WEB_TEXT: "application/grpc-web-text",
    CONNECT_STREAM: "application/connect",
}
"""Those with messages in envelopes, and how their media types begin."""
WIRES: Mapping[str, type[EnvelopeWire]] = {
    GRPC: GrpcWire,
    WEB: GrpcWebWire,
    WEB_TEXT: GrpcWebWire,
    CONNECT_STREAM: ConnectStreamWire,
}

GRPC_ENCODING = "grpc-encoding", b"grpc-accept-encoding"
CONNECT_ENCODING = "connect-content-encoding", b"connect-accept-encoding"
"""How a request names the encoding of its messages, and a response those that are accepted."""


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

    def seconds(self, headers: Named) -> float | None:
        """How long a call may take, by its headers; None: no limit. Fails with INVALID_FIELD, also for the version."""
        if self.is_connect:
            check_connect_version(first(headers, b"connect-protocol-version"))
            return connect_timeout(first(headers, b"connect-timeout-ms"))
        return grpc_timeout(first(headers, b"grpc-timeout"))

    def wire(
        self,
        body: Body,
        send: Send,
        endpoint: Endpoint,
        headers: Named,
        pace: Pace,
        held: HeldRequest,
        added: Headers | None = None,
    ) -> Wire:
        """How it speaks on one request.

        held: what the request holds of the memory for requests.
        added: further headers of the response, of which the list has all when it begins.
        """
        added = added if added is not None else []
        codec, limit = self.codec, endpoint.limit
        arrival = Arrival(Base64Body(body) if self.family == WEB_TEXT else body, pace, held)
        if self.family == CONNECT:
            packing = _packing(headers, "content-encoding")
            return ConnectUnaryWire(arrival, send, endpoint, codec, packing, limit, added)
        named, accepted = CONNECT_ENCODING if self.is_connect else GRPC_ENCODING
        packing, answer = _packing(headers, named), self._answer_family(headers)
        sent = [(b"content-type", f"{FAMILIES[answer]}+{codec.name}".encode()), (accepted, ENCODINGS)]
        send = in_base64(send) if answer == WEB_TEXT else send
        return WIRES[self.family](arrival, send, endpoint, codec, packing, limit, sent, added)

    def _answer_family(self, headers: Named) -> str:
        """The family of the response: for gRPC-Web, the header `accept` may ask for the other one."""
        if self.family not in (WEB, WEB_TEXT):
            return self.family
        accepted = first(headers, b"accept").lower()
        if FAMILIES[WEB_TEXT] in accepted:
            return WEB_TEXT
        return WEB if FAMILIES[WEB] in accepted else self.family


def _packing(headers: Named, name: str) -> Packing:
    return Packing(name, first(headers, name.encode()).strip().lower())


def protocols_of(proto: Codec, json: Codec) -> Mapping[str, Protocol]:
    """All protocols by their media types."""
    found = {"application/proto": Protocol(CONNECT, proto), "application/json": Protocol(CONNECT, json)}
    for family, media in FAMILIES.items():
        for codec in (proto, json):
            found[f"{media}+{codec.name}"] = Protocol(family, codec)
        if family != CONNECT_STREAM:
            found[media] = Protocol(family, proto)
    return found


def media_type(headers: Named) -> str:
    """The media type of a request, in lower case and without parameters; empty for a charset that is not UTF-8."""
    media, _, parameters = first(headers, b"content-type").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip().strip('"')
    return media.strip() if charset in ("", "utf-8", "utf8") else ""
