"""A call over HTTP, as handlers see it: what `grpc.aio.ServicerContext` is on the other door."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import grpc

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.call_context import CERTIFICATE, HeldAnswer, Metadata
from lockstitch_server.rpc.transport.http.asgi_types import Headers, Scope
from lockstitch_server.rpc.transport.http.headers import metadata_of, peer_of
from lockstitch_server.rpc.transport.http.status import CallAborted, aborted
from lockstitch_server.rpc.transport.http.wire import Wire
from lockstitch_server.rpc.transport.request_memory import HeldRequest


class HttpCall:
    """A call that is under way.

    headers: those of the response that the call adds. answer_weight: bytes of memory that each byte of an answer may
    take until it has been sent. held: what the call holds of the memory for requests, which its wire counts. now: the
    event loop's clock.
    """

    __slots__ = (
        "_answer",
        "_callbacks",
        "_failure",
        "_headers",
        "_held",
        "_now",
        "_scope",
        "answer_weight",
        "deadline",
        "wire",
    )

    def __init__(
        self,
        scope: Scope,
        wire: Wire,
        headers: Headers,
        answer_weight: int,
        held: HeldRequest,
        now: Callable[[], float],
    ) -> None:
        self.wire = wire
        self.answer_weight = answer_weight
        self.deadline: float | None = None
        self._scope = scope
        self._headers = headers
        self._held = held
        self._now = now
        self._failure: Failure | None = None
        """What is wrong with the headers of the request. Reading a message fails with it, so a call with bad headers
        ends where one with a bad message does: behind authentication, in the audit log and in metrics."""
        self._answer: HeldAnswer | None = None
        self._callbacks: list[Callable[[Any], None]] = []

    def limit(self, given: Callable[[], float | None], most: float | None) -> None:
        """Set the deadline. given: reads the seconds that the caller allows. most: what the server does. None: any."""
        try:
            seconds = given()
        except Failure as failure:
            seconds, self._failure = None, failure
        if most is not None:
            seconds = most if seconds is None else min(seconds, most)
        if seconds is not None:
            self.deadline = self._now() + seconds

    @property
    def tenant(self) -> str:
        """Whose call it is; empty until the caller is known."""
        return self._held.tenant

    def invocation_metadata(self) -> Metadata:
        """The headers, except those that cannot be decoded."""
        entries, failure = metadata_of(self._scope["headers"])
        self._failure = self._failure or failure
        return entries

    def peer(self) -> str:
        return peer_of(self._scope.get("client"))

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """The client's certificate, if the server that ended TLS has verified it."""
        tls = self._scope.get("extensions", {}).get("tls") or {}
        chain = () if tls.get("client_cert_error") else tls.get("client_cert_chain") or ()
        return {CERTIFICATE: [chain[0].encode()]} if chain else {}

    def time_remaining(self) -> float | None:
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - self._now())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def receive_for(self, tenant: str) -> None:
        """What is received from now on counts as the tenant's."""
        self._held.tenant = tenant

    def hold(self, answer: HeldAnswer) -> None:
        """Count the memory of the call's answer until it has been sent."""
        self._answer = answer
        self._callbacks.append(answer.release)

    def encoded(self, size: int) -> None:
        """The call's answer has this many bytes in the format that it is sent in, and takes no other memory."""
        if self._answer is not None:
            self._answer.sent_as(size)

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...], /) -> None:
        """Sent as headers: what is known before the response begins needs no trailers."""
        self._headers[:] = _as_headers(metadata)

    def trailing_metadata(self) -> Metadata:
        return ()  # sent as headers

    async def read(self) -> object:
        """The next message, as bytes; something else where there is none."""
        if self._failure is not None:
            raise self._failure
        message = await self.wire.read()
        return grpc.aio.EOF if message is None else message

    async def messages(self) -> AsyncIterator[bytes]:
        """All messages."""
        while isinstance(message := await self.read(), bytes):
            yield message

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        raise CallAborted(aborted(code, details, trailing_metadata))

    def done(self) -> None:
        """The call has ended, and its response has been sent."""
        for callback in self._callbacks:
            callback(self)


@lru_cache(16)
def _as_headers(metadata: tuple[tuple[str, str], ...]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in metadata]
