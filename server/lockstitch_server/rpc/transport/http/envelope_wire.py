"""Messages in envelopes, in both directions: gRPC, gRPC-Web, and streams of Connect."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import grpc

from lockstitch_server.rpc.transport.http.asgi_types import Event, Headers, Send
from lockstitch_server.rpc.transport.http.body import Body, Envelopes, SizeLimit, enveloped
from lockstitch_server.rpc.transport.http.codecs import Codec
from lockstitch_server.rpc.transport.http.endpoints import Endpoint
from lockstitch_server.rpc.transport.http.packing import PACKED, PLAIN, Packing
from lockstitch_server.rpc.transport.http.status import OK, CallAborted, CallStatus

SEVERAL_REQUESTS = CallStatus(grpc.StatusCode.UNIMPLEMENTED, "request: the method takes one message; there are several")
"""gRPC defines this code for a call with another number of requests than its method has."""


class EnvelopeWire(ABC):
    """Reads and writes messages. Protocols differ in how they say the status at the end.

    END_FLAG: of an envelope that ends a request; 0: there is none. TRAILERS: whether trailers of HTTP follow the body.
    """

    END_FLAG = 0
    TRAILERS = False

    def __init__(
        self,
        body: Body,
        send: Send,
        endpoint: Endpoint,
        codec: Codec,
        packing: Packing,
        limit: SizeLimit,
        headers: Headers,
        added: Headers,
    ) -> None:
        """packing: how the request's messages may be packed. headers: those of the response.

        added: further ones, of which the list has all when the response begins."""
        self._limit = codec.limit(limit)
        self._held = body.held
        self._envelopes = Envelopes(body, self._limit, may_pause=endpoint.has_many_requests)
        self._send = send
        self._endpoint = endpoint
        self._codec = codec
        self._packing = packing
        self._headers = headers
        self._added = added
        self._began = False
        self._ended = False

    async def read(self) -> bytes | None:
        found = await self._envelopes.next()
        if found is None:
            return None
        flags, data = found
        if flags not in (PLAIN, PACKED):
            if flags & self.END_FLAG:  # trailers of a request say nothing
                return None
            raise CallAborted(CallStatus(grpc.StatusCode.INTERNAL, f"request: a message has the unknown flags {flags}"))
        self._packing.check(data, is_packed=flags == PACKED)
        if not self._endpoint.has_many_requests and not self._envelopes.ended:
            await self._check_is_last()
        message = await self._codec.decode(self._endpoint.request, data, self._limit, self._held.tenant)
        self._held.release()
        return message

    async def _check_is_last(self) -> None:
        """Fails for a second message, before the call does anything."""
        flags = await self._envelopes.next_flags()
        if flags is not None and not flags & self.END_FLAG:
            raise CallAborted(SEVERAL_REQUESTS)

    async def write(self, message: bytes, *, last: bool) -> None:
        self._ended = last
        events = self._ending(message, OK) if last else enveloped(message, last=False)
        if not self._began:
            self._began = True
            events = [self._start((), has_trailers=self.TRAILERS), *events]
        await self._send_all(events)

    async def end(self, status: CallStatus) -> None:
        if not self._ended:
            self._ended = True
            await self._send_all(self._ending(None, status) if self._began else self._refusal(status))

    async def _send_all(self, events: Iterable[Event]) -> None:
        for event in events:
            await self._send(event)

    def _start(self, more: Iterable[tuple[bytes, bytes]], *, has_trailers: bool) -> Event:
        """The beginning of the response. more: headers beside the usual ones."""
        headers = [*self._headers, *more, *self._added]
        return {"type": "http.response.start", "status": 200, "headers": headers, "trailers": has_trailers}

    @abstractmethod
    def _ending(self, message: bytes | None, status: CallStatus) -> list[Event]:
        """The end of a response that has begun, with a last message if there is one."""

    @abstractmethod
    def _refusal(self, status: CallStatus) -> list[Event]:
        """The whole response of a call that has no message."""
