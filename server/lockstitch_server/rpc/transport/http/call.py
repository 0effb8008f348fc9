"""A call over HTTP, as handlers see it: what `grpc.aio.ServicerContext` is on the other door."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc

from lockstitch_server.rpc.call_context import CERTIFICATE, Metadata
from lockstitch_server.rpc.transport.http.asgi_types import Headers, Scope
from lockstitch_server.rpc.transport.http.headers import metadata_of, peer_of
from lockstitch_server.rpc.transport.http.status import CallAborted, aborted
from lockstitch_server.rpc.transport.http.wire import Wire


class HttpCall:
    """A call that is under way.

    headers: those of the response that the call adds. seconds: how long it may take; None: for as long as it likes.
    """

    __slots__ = ("_callbacks", "_headers", "_scope", "_wire", "deadline")

    def __init__(self, scope: Scope, wire: Wire, headers: Headers, seconds: float | None) -> None:
        self._scope = scope
        self._wire = wire
        self._headers = headers
        self._callbacks: list[Callable[[Any], None]] = []
        self.deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds

    def invocation_metadata(self) -> Metadata:
        """The headers. Fails with INVALID_FIELD."""
        return metadata_of(self._scope["headers"])

    def peer(self) -> str:
        return peer_of(self._scope.get("client"))

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """The client's certificate, which whoever ended TLS has verified."""
        tls = self._scope.get("extensions", {}).get("tls") or {}
        chain = tls.get("client_cert_chain") or ()
        return {CERTIFICATE: [chain[0].encode()]} if chain else {}

    def time_remaining(self) -> float | None:
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...], /) -> None:
        """Sent as headers: what is known before the response begins needs no trailers."""
        self._headers[:] = [(name.encode(), value.encode()) for name, value in metadata]

    def trailing_metadata(self) -> Metadata:
        return ()  # sent as headers

    async def read(self) -> object:
        """The next message, as bytes; something else where there is none."""
        message = await self._wire.read()
        return grpc.aio.EOF if message is None else message

    async def messages(self) -> AsyncIterator[bytes]:
        """All messages."""
        while (message := await self._wire.read()) is not None:
            yield message

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        raise CallAborted(aborted(code, details, trailing_metadata))

    def done(self) -> None:
        """The call has ended, and its response has been sent."""
        for callback in self._callbacks:
            callback(self)
