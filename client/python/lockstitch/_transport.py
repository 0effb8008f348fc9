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

from lockstitch import _fork, _tracing
from lockstitch._channel import ChannelSettings
from lockstitch._errors import (
    Cancelled,
    DeadlineExceeded,
    LockstitchError,
    NoConnection,
    Unavailable,
    from_rpc_error,
)
from lockstitch._limiter import Limiter, SaveLimiter, Unlimited
from lockstitch._rpcs import HEALTH_CHECK, SAVE, SAVE_STREAM, Answer, Request, Rpc
from lockstitch._save_streams import SaveStreams
from lockstitch._security import Metadata
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse

T = TypeVar("T")

# What an asynchronous client has under way at once; further saves wait. Some three copies of each state are held.
MOST_SAVES = 1024
MOST_BYTES = 32 * 1024 * 1024

PROBE_SECONDS = 0.4
"""How long to look for a connection, or for why there is none, when a call is out of time."""
CLOSE_SECONDS = 0.2
"""How often a thread that waits for a connection looks whether the client has been closed."""
READY, FAILED = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE


class Transport(Protocol):
    """Makes calls. `timeout` is in seconds and covers the whole call; failures are raised as LockstitchError."""

    @property
    def room(self) -> Limiter:
        """Where saves are while they are under way."""

    async def first_connection(self, timeout: float) -> None:
        """Return when there is a connection, or has ever been one. Raises NoConnection after `connect_timeout`."""

    async def check_connection(self) -> None:
        """Raises NoConnection if there is no connection at the moment."""

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        """One answer. `wait`: wait for a connection, instead of failing while there is none."""

    def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        """A stream of answers. Closing the generator ends the call."""

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        """The answer to a serialized SaveRequest, on whichever way is best, within `first_connection`."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def close(self) -> None:
        """End running calls and the connection. May be repeated."""


class AsyncTransport:
    """Calls over grpc.aio. The channel is opened by the first call, and belongs to that call's event loop."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings
        self.room = SaveLimiter(MOST_SAVES, MOST_BYTES)
        self._channel: aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._save_streams = (
            SaveStreams(self._open_save_stream, self._save_alone, settings.retry) if settings.stream else None
        )
        self._closed = False
        self._has_connected = False

    async def first_connection(self, timeout: float) -> None:
        if not self._has_connected and not await self._connects(min(timeout, self._settings.connect_timeout)):
            await _raise_if_disconnected(self, self._settings.target)

    async def check_connection(self) -> None:
        if not await self._connects(PROBE_SECONDS):
            await _raise_if_disconnected(self, self._settings.target)

    async def _connects(self, timeout: float) -> bool:
        patient = self._settings.retry is not None
        try:
            async with asyncio.timeout(timeout):
                self._has_connected |= (connected := await _connected(self._open(), patient))
            return connected
        except TimeoutError:
            return False
        except (asyncio.CancelledError, aio.UsageError):
            self._raise_if_closed()
            raise

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        method = self._open().unary_unary(rpc.path, rpc.encode, rpc.decode)
        try:
            answer = await method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
            self._has_connected = True
            return answer
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
        if self.room.saves > 1 and self._save_streams is not None and self._save_streams.are_open():
            return await self._save_streams.save(request, session_id, timeout)
        await self.first_connection(timeout)
        return await self.unary(SAVE, request, timeout, wait=wait)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self._closed = True
        self.room.close()
        if self._save_streams is not None:
            await self._save_streams.close()
        if self._channel is not None:
            await self._channel.close()

    async def _save_alone(self, request: bytes, seconds: float) -> SaveResponse:
        return await self.unary(SAVE, request, seconds, wait=self._settings.retry is not None)

    async def _open_save_stream(self) -> "aio.StreamStreamCall[bytes, bytes]":
        await self.first_connection(self._settings.connect_timeout)
        method: aio.StreamStreamMultiCallable[bytes, bytes] = self._open().stream_stream(SAVE_STREAM)
        return method(metadata=self._settings.call_metadata(), wait_for_ready=self._settings.retry is not None)

    def _open(self) -> aio.Channel:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._loop not in (None, asyncio.get_running_loop()):
            raise RuntimeError("this client belongs to another event loop: make one client for each")
        _fork.check()
        if self._channel is None:
            self._loop = asyncio.get_running_loop()
            target, options = self._settings.target, self._settings.all_options
            if self._settings.credentials is None:
                self._channel = aio.insecure_channel(target, options)
            else:
                self._channel = aio.secure_channel(target, self._settings.credentials, options)
            _fork.opened_async(self._channel)
        return self._channel

    def _raise_if_closed(self) -> None:
        # grpc.aio cancels the tasks that wait for a call when its channel closes, as if somebody had cancelled them.
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            raise _closed() from None


async def _connected(channel: aio.Channel, patient: bool) -> bool:
    while (state := channel.get_state(try_to_connect=True)) is not READY:
        if state is FAILED and not patient:
            return False
        await channel.wait_for_state_change(state)
    return True


class BlockingTransport:
    """Calls over a blocking channel, which any number of threads may share. Its coroutines never suspend."""

    def __init__(self, settings: ChannelSettings) -> None:
        self.room = Unlimited()
        self._settings = settings
        self._closed = False
        if settings.credentials is None:
            self._channel = grpc.insecure_channel(settings.target, settings.all_options)
        else:
            self._channel = grpc.secure_channel(settings.target, settings.credentials, settings.all_options)
        _fork.opened_blocking(self._channel)
        self._has_connected = False

    async def first_connection(self, timeout: float) -> None:
        if not self._has_connected and not self._connects(min(timeout, self._settings.connect_timeout)):
            await _raise_if_disconnected(self, self._settings.target)

    async def check_connection(self) -> None:
        if not self._connects(PROBE_SECONDS):
            await _raise_if_disconnected(self, self._settings.target)

    def _connects(self, timeout: float) -> bool:
        patient = self._settings.retry is not None
        try:
            with _fork.calling():
                connected = _connects(self._open(), timeout, patient)
        except ValueError:  # gRPC's word for a channel that has been closed
            raise _closed() from None
        self._has_connected |= connected
        return connected

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        method = self._open().unary_unary(rpc.path, rpc.encode, rpc.decode)
        try:
            with _fork.calling():
                answer = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
            self._has_connected = True
            return answer
        except grpc.RpcError as error:
            raise from_rpc_error(error, closed=self._closed) from error

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        method = self._open().unary_stream(rpc.path, rpc.encode, rpc.decode)
        call = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        answers = iter(call)
        try:
            while True:
                with _fork.calling():
                    answer = next(answers, None)
                if answer is None:
                    return
                yield answer
        except grpc.RpcError as error:
            raise from_rpc_error(error, closed=self._closed) from error
        finally:
            call.cancel()

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        await self.first_connection(timeout)
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
        _fork.check()
        return self._channel


def _connects(channel: grpc.Channel, timeout: float, patient: bool) -> bool:
    # `Channel.subscribe` would do, but leaves a thread at work for a while, which makes a fork unsafe.
    core: Any = channel._channel  # type: ignore[attr-defined]
    end = time.time() + timeout
    while (state := core.check_connectivity_state(True)) != READY.value[0]:
        if (state == FAILED.value[0] and not patient) or time.time() >= end:
            return False
        core.watch_connectivity_state(state, min(end, time.time() + CLOSE_SECONDS))
    return True


async def _raise_if_disconnected(transport: Transport, target: str) -> None:
    """Raises NoConnection, which says why there is none: gRPC tells that only to a call that does not wait."""
    try:
        await transport.unary(HEALTH_CHECK, b"", PROBE_SECONDS, wait=False)
    except Unavailable as fault:
        raise NoConnection(target, fault.message) from fault
    except DeadlineExceeded as fault:
        raise NoConnection(target, "nothing answers there") from fault
    except LockstitchError:
        pass  # an answer of whatever kind comes over a connection


def _closed() -> Cancelled:
    return Cancelled("the client was closed", code=grpc.StatusCode.CANCELLED)


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
