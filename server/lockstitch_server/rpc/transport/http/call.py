"""A call over HTTP, as handlers see it: what `grpc.aio.ServicerContext` is on the other door."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
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

    headers: those of the response that the call adds. seconds: how long it may take; None: for as long as it likes.
    answer_weight: bytes of memory that each byte of an answer may take until it has been sent.
    held: what the call holds of the memory for requests, which its wire counts.
    failure: what is wrong with the headers of the request. Reading a message fails with it, so a call with bad headers
    ends where one with a bad message does: behind authentication, in the audit log and in metrics.
    """

    __slots__ = (
        "_answer",
        "_callbacks",
        "_failure",
        "_headers",
        "_held",
        "_scope",
        "_wire",
        "answer_weight",
        "deadline",
    )

    def __init__(
        self,
        scope: Scope,
        wire: Wire,
        headers: Headers,
        seconds: float | None,
        answer_weight: int,
        held: HeldRequest,
        failure: Failure | None = None,
    ) -> None:
        self._scope = scope
        self._wire = wire
        self._headers = headers
        self._failure = failure
        self._answer: HeldAnswer | None = None
        self.answer_weight = answer_weight
        self._held = held
        self._callbacks: list[Callable[[Any], None]] = []
        self.deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds

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
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

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
        self._headers[:] = [(name.encode(), value.encode()) for name, value in metadata]

    def trailing_metadata(self) -> Metadata:
        return ()  # sent as headers

    async def read(self) -> object:
        """The next message, as bytes; something else where there is none."""
        if self._failure is not None:
            raise self._failure
        message = await self._wire.read()
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
