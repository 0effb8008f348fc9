"""From a request's content type to the protocol that it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from lockstitch_server.rpc.transport.http.asgi_types import Headers, Receive, Send
from lockstitch_server.rpc.transport.http.body import Body, from_base64
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
from lockstitch_server.rpc.transport.http.packing import ENCODINGS, packing_of
from lockstitch_server.rpc.transport.http.wire import Wire

GRPC, WEB, WEB_TEXT, CONNECT, CONNECT_STREAM = "grpc", "grpc-web", "grpc-web-text", "connect", "connect-stream"


class Family(NamedTuple):
    """A protocol with messages in envelopes.

    media: how its media types begin. encoding, accepted: the headers by which a request names the encoding of its
    messages, and a response those that are accepted.
    """

    media: str
    wire: type[EnvelopeWire]
    encoding: str
    accepted: bytes


FAMILIES: Mapping[str, Family] = {
    GRPC: Family("application/grpc", GrpcWire, "grpc-encoding", b"grpc-accept-encoding"),
    WEB: Family("application/grpc-web", GrpcWebWire, "grpc-encoding", b"grpc-accept-encoding"),
    WEB_TEXT: Family("application/grpc-web-text", GrpcWebWire, "grpc-encoding", b"grpc-accept-encoding"),
    CONNECT_STREAM: Family(
        "application/connect", ConnectStreamWire, "connect-content-encoding", b"connect-accept-encoding"
    ),
}


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

    def receive(self, receive: Receive) -> Receive:
        """`receive` of a request whose bodies are bytes, however the protocol has them in the body."""
        return from_base64(receive) if self.family == WEB_TEXT else receive

    def wire(self, body: Body, send: Send, endpoint: Endpoint, headers: Named, added: Headers) -> Wire:
        """How it speaks on one request. added: further headers of the response; the list has all when it begins."""
        codec, limit = self.codec, endpoint.limit
        if self.family == CONNECT:
            packing = packing_of("content-encoding", headers.get(b"content-encoding", b""))
            return ConnectUnaryWire(body, send, endpoint, codec, packing, limit, added)
        family, answer = FAMILIES[self.family], self._answer_family(headers)
        packing = packing_of(family.encoding, headers.get(family.encoding.encode(), b""))
        sent = _response_headers(answer, codec.name)
        send = in_base64(send) if answer == WEB_TEXT else send
        return family.wire(body, send, endpoint, codec, packing, limit, sent, added)

    def _answer_family(self, headers: Named) -> str:
        """The family of the response: for gRPC-Web, the header `accept` may ask for the other one."""
        if self.family not in (WEB, WEB_TEXT):
            return self.family
        accepted = first(headers, b"accept").lower()
        if FAMILIES[WEB_TEXT].media in accepted:
            return WEB_TEXT
        return WEB if FAMILIES[WEB].media in accepted else self.family


@cache
def _response_headers(family: str, codec: str) -> Headers:
    """The headers of every response in a protocol and a format."""
    media, _, _, accepted = FAMILIES[family]
    return [(b"content-type", f"{media}+{codec}".encode()), (accepted, ENCODINGS)]


def protocols_of(proto: Codec, json: Codec) -> Mapping[str, Protocol]:
    """All protocols by their media types."""
    found = {"application/proto": Protocol(CONNECT, proto), "application/json": Protocol(CONNECT, json)}
    for family, (media, *_) in FAMILIES.items():
        for codec in (proto, json):
            found[f"{media}+{codec.name}"] = Protocol(family, codec)
        if family != CONNECT_STREAM:
            found[media] = Protocol(family, proto)
    return found


@lru_cache(64)
def media_type(content_type: bytes) -> str:
    """The media type in a header, in lower case and without parameters; empty for a charset that is not UTF-8."""
    media, _, parameters = content_type.decode("latin-1").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip().strip('"')
    return media.strip() if charset in ("", "utf-8", "utf8") else ""
