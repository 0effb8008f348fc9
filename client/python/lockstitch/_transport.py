"""Two ways to make a call, behind one protocol.

Everything above is written once, as coroutines over `Transport`. On `BlockingTransport` no await ever suspends, so
`run` and `iterate` can drive such a coroutine without an event loop, in whatever thread the caller is.
"""

# ruff: noqa: ASYNC109 - a timeout here is the deadline that gRPC sends to the server

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, Protocol, TypeVar

import grpc
from grpc import aio

from lockstitch import _tracing
from lockstitch._channel import ChannelSettings
from lockstitch._errors import Cancelled, from_rpc_error
from lockstitch._lanes import Lanes
from lockstitch._room import BoundedRoom, EndlessRoom, Room
from lockstitch._rpcs import SAVE, SAVE_STREAM, Answer, Request, Rpc
from lockstitch._security import Metadata
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse

T = TypeVar("T")

# What an asynchronous client has under way at once; further saves wait. Some three copies of each state are held.
MOST_SAVES = 1024
MOST_BYTES = 32 * 1024 * 1024


class Transport(Protocol):
    """Makes calls. `timeout` is in seconds and covers the whole call; failures are raised as LockstitchError."""

    @property
    def room(self) -> Room:
        """Where saves are while they are under way."""

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        """One answer. `wait`: wait for a connection, instead of failing while there is none."""

    def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        """A stream of answers. Closing the generator ends the call."""

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        """The answer to a serialized SaveRequest, on whichever way is best."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def close(self) -> None:
        """End running calls and the connection. May be repeated."""


class AsyncTransport:
    """Calls over grpc.aio. The channel is opened by the first call, and belongs to that call's event loop."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings
        self.room = BoundedRoom(MOST_SAVES, MOST_BYTES)
        self._channel: aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lanes = Lanes(self._open_save_stream, self._save_alone, settings.retry) if settings.stream else None
        self._closed = False

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        method = self._open().unary_unary(rpc.path, rpc.encode, rpc.decode)
        try:
            return await method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        except grpc.RpcError as error:
            raise from_rpc_error(error, closed=self._closed) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        method = self._open().unary_stream(rpc.path, rpc.encode, rpc.decode)
        call = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        try:
            async for answer in call:
                yield answer
        except grpc.RpcError as error:
            raise from_rpc_error(error, closed=self._closed) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        finally:
            call.cancel()

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        self._open()
        if self.room.saves > 1 and self._lanes is not None and self._lanes.are_open():
            return await self._lanes.save(request, session_id, timeout)
        return await self.unary(SAVE, request, timeout, wait=wait)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self._closed = True
        self.room.close()
        if self._lanes is not None:
            await self._lanes.close()
        if self._channel is not None:
            await self._channel.close()

    async def _save_alone(self, request: bytes, seconds: float) -> SaveResponse:
        return await self.unary(SAVE, request, seconds, wait=self._settings.retry is not None)

    def _open_save_stream(self) -> "aio.StreamStreamCall[bytes, bytes]":
        method: aio.StreamStreamMultiCallable[bytes, bytes] = self._open().stream_stream(SAVE_STREAM)
        return method(metadata=self._settings.call_metadata(), wait_for_ready=self._settings.retry is not None)

    def _open(self) -> aio.Channel:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._loop not in (None, asyncio.get_running_loop()):
            raise RuntimeError("this client belongs to another event loop: make one client for each")
        if self._channel is None:
            self._loop = asyncio.get_running_loop()
            target, options = self._settings.target, self._settings.all_options
            if self._settings.credentials is None:
                self._channel = aio.insecure_channel(target, options)
            else:
                self._channel = aio.secure_channel(target, self._settings.credentials, options)
        return self._channel

    def _raise_if_closed(self) -> None:
        # grpc.aio cancels the tasks that wait for a call when its channel closes, as if somebody had cancelled them.
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            raise Cancelled("the client was closed", code=grpc.StatusCode.CANCELLED) from None


class BlockingTransport:
    """Calls over a blocking channel, which any number of threads may share. Its coroutines never suspend."""

    def __init__(self, settings: ChannelSettings) -> None:
        self.room = EndlessRoom()
        self._settings = settings
        self._closed = False
        if settings.credentials is None:
            self._channel = grpc.insecure_channel(settings.target, settings.all_options)
        else:
            self._channel = grpc.secure_channel(settings.target, settings.credentials, settings.all_options)

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        method = self._open().unary_unary(rpc.path, rpc.encode, rpc.decode)
        try:
            return method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        except grpc.RpcError as error:
            raise from_rpc_error(error, closed=self._closed) from error

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        method = self._open().unary_stream(rpc.path, rpc.encode, rpc.decode)
        call = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        try:
            for answer in call:
                yield answer
        except grpc.RpcError as error:
            raise from_rpc_error(error, closed=self._closed) from error
        finally:
            call.cancel()

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        # Blocking streams take two thread switches for each message: with 16 threads they cost what unary calls do.
        return await self.unary(SAVE, request, timeout, wait=wait)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - that is what blocking means

    async def close(self) -> None:
        self._closed = True
        self._channel.close()

    def _open(self) -> grpc.Channel:
        if self._closed:
            raise RuntimeError("this client is closed")
        return self._channel


def _metadata(settings: ChannelSettings) -> Metadata:
    """What goes with a call: what goes with every one, and the trace that it is a part of."""
    carrier = _tracing.current().carrier
    return (*settings.call_metadata(), *carrier.items()) if carrier else settings.call_metadata()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over a `BlockingTransport`."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine over a blocking transport has suspended")


def iterate(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of an asynchronous generator over a `BlockingTransport`."""
    try:
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose())
