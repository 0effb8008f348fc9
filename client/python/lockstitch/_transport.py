"""Two ways to make a call, behind one protocol.

Everything above is written once, as coroutines over `Transport`. On `BlockingTransport` no await ever suspends, so
`run` and `iterate` can drive such a coroutine without an event loop, in whatever thread the caller is.
"""

# ruff: noqa: ASYNC109 - a timeout here is the deadline that gRPC sends to the server

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context
from typing import Any, Protocol, TypeVar

import grpc
from grpc import aio

from lockstitch import _fork, _link, _tracing
from lockstitch._channel import ChannelSettings
from lockstitch._errors import (
    Cancelled,
    DeadlineExceeded,
    LockstitchError,
    NoConnection,
    Unavailable,
)
from lockstitch._limiter import Limiter, SaveLimiter, Unlimited
from lockstitch._link import Link
from lockstitch._rpcs import HEALTH_CHECK, LIST_SESSIONS, SAVE, SAVE_STREAM, Answer, Request, Rpc
from lockstitch._save_streams import SaveStreams
from lockstitch._security import Metadata
from lockstitch._tls_faults import Finding
from lockstitch._turns import NoTurns, SaveTurns, Turns
from lockstitch.v1.checkpoint_service_pb2 import ListSessionsRequest, SaveResponse

T = TypeVar("T")

SERVER_VERSION_KEY = "lockstitch-server-version"

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

    @property
    def turns(self) -> Turns:
        """Where saves wait for those of the same session before them."""

    async def first_connection(self, timeout: float) -> None:
        """Return when there is a connection, or has ever been one. Raises NoConnection after `connect_timeout`."""

    async def check_connection(self) -> None:
        """Raises NoConnection if there is no connection at the moment."""

    async def renew_if_silent(self, seconds: float) -> None:
        """Replace a connection over which nothing has come for this long, and does not come now.

        Calls on it fail with Unavailable; saves on streams are sent again.
        """

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
        self.room = SaveLimiter(settings.in_flight)
        self._link: Link[aio.Channel] | None = None
        self._opened = 0
        self._replaced: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._save_streams = (
            SaveStreams(self._open_save_stream, self._save_alone, self._hear, settings.retry)
            if settings.stream
            else None
        )
        self.turns = SaveTurns(self._joins_stream)
        self._closed = False
        self._has_connected = False
        self._finding_fault: asyncio.Task[Finding | None] | None = None

    async def first_connection(self, timeout: float) -> None:
        if not self._has_connected and not await self._connects(min(timeout, self._settings.connect_timeout)):
            await self._raise_if_disconnected()

    async def check_connection(self) -> None:
        if not await self._connects(PROBE_SECONDS):
            await self._raise_if_disconnected()

    async def _raise_if_disconnected(self) -> None:
        cause = await _cause_of_no_connection(self)
        if cause is not None:
            fault = await self._tls_fault()
            raise NoConnection(self._settings.target, str(fault or cause), fault)

    async def _tls_fault(self) -> Finding | None:
        """What is wrong with TLS, found out once for all calls that ask meanwhile."""
        if self._has_connected:
            return None
        if self._finding_fault is None or self._finding_fault.done():
            self._finding_fault = asyncio.create_task(asyncio.to_thread(self._settings.find_tls_fault))
        return await asyncio.shield(self._finding_fault)

    async def _connects(self, timeout: float) -> bool:
        patient = self._settings.retry is not None
        try:
            async with asyncio.timeout(timeout):
                self._has_connected |= (connected := await _connected(self._open().channel, patient))
            return connected
        except TimeoutError:
            return False
        except (asyncio.CancelledError, aio.UsageError):
            self._raise_if_closed()
            raise

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        link = self._open()
        method = link.calls.unary_unary(rpc.path, rpc.encode, rpc.decode)
        try:
            answer = await method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
            self._has_connected = True
            link.hear()
            return answer
        except grpc.RpcError as error:
            raise link.error(error, closed=self._closed) from None
        except asyncio.CancelledError:
            self._raise_if_closed(link)
            raise

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        link = self._open()
        method = link.calls.unary_stream(rpc.path, rpc.encode, rpc.decode)
        call = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        try:
            async for answer in call:
                link.hear()
                yield answer
        except grpc.RpcError as error:
            raise link.error(error, closed=self._closed) from None
        except asyncio.CancelledError:
            self._raise_if_closed(link)
            raise
        finally:
            call.cancel()

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        self._open()
        if self._save_streams is not None and not self.turns.is_alone(session_id):
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
        for closing in self._replaced:
            await closing
        if self._link is not None:
            await self._link.channel.close()

    async def renew_if_silent(self, seconds: float) -> None:
        link = self._open()
        if not link.is_silent(seconds) or await self._answers(link):
            return
        if link is not self._link or self._closed:
            return
        link.replaced, self._link = True, None
        if self._save_streams is not None:
            self._save_streams.restart()
        closing = asyncio.get_running_loop().create_task(link.channel.close(), context=Context())
        self._replaced.append(closing)
        closing.add_done_callback(self._replaced.remove)

    async def _answers(self, link: "Link[aio.Channel]") -> bool:
        """Whether anything comes over it now."""
        probe = link.channel.unary_unary(HEALTH_CHECK.path, HEALTH_CHECK.encode, HEALTH_CHECK.decode)
        try:
            await probe(b"", timeout=PROBE_SECONDS)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        except asyncio.CancelledError:
            with suppress(Unavailable):  # replaced meanwhile
                self._raise_if_closed(link)
                raise
        return True

    def _joins_stream(self, session_id: str) -> bool:
        streams = self._save_streams
        return streams is not None and (streams.has(session_id) or (self.room.saves > 1 and streams.are_open()))

    def _hear(self) -> None:
        if self._link is not None:
            self._link.hear()

    async def _save_alone(self, request: bytes, seconds: float) -> SaveResponse:
        return await self.unary(SAVE, request, seconds, wait=self._settings.retry is not None)

    async def _open_save_stream(self) -> "aio.StreamStreamCall[bytes, bytes]":
        await self.first_connection(self._settings.connect_timeout)
        method: aio.StreamStreamMultiCallable[bytes, bytes] = self._open().calls.stream_stream(SAVE_STREAM)
        return method(metadata=self._settings.call_metadata(), wait_for_ready=self._settings.retry is not None)

    def _open(self) -> Link[aio.Channel]:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._loop not in (None, asyncio.get_running_loop()):
            raise RuntimeError("this client belongs to another event loop: make one client for each")
        _fork.check()
        if self._link is None:
            self._loop = asyncio.get_running_loop()
            target, options = self._settings.target, _link.options(self._settings.all_options, self._opened)
            credentials, interceptors = self._settings.credentials, list(self._settings.interceptors)
            if credentials is None:
                channel = aio.insecure_channel(target, options, interceptors=interceptors)
            else:
                channel = aio.secure_channel(target, credentials, options, interceptors=interceptors)
            _fork.opened_async(channel)
            self._link = Link(channel)
            self._opened += 1
        return self._link

    def _raise_if_closed(self, link: Link[aio.Channel] | None = None) -> None:
        # grpc.aio cancels the tasks that wait for a call when its channel closes, as if somebody had cancelled them.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            return
        if self._closed:
            raise _closed() from None
        if link is not None and link.replaced:
            raise _link.silent() from None


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
        self.turns = NoTurns()
        self._settings = settings
        self._closed = False
        self._opened = 0
        self._link = self._new_link()
        self._has_connected = False
        self.after_fork()
        _fork.share(self)

    def after_fork(self) -> None:
        """Renew links by a lock that no other thread holds."""
        self._renewing = threading.Lock()

    async def first_connection(self, timeout: float) -> None:
        if not self._has_connected and not self._connects(min(timeout, self._settings.connect_timeout)):
            await self._raise_if_disconnected()

    async def check_connection(self) -> None:
        if not self._connects(PROBE_SECONDS):
            await self._raise_if_disconnected()

    async def _raise_if_disconnected(self) -> None:
        cause = await _cause_of_no_connection(self)
        if cause is not None:
            fault = None if self._has_connected else self._settings.find_tls_fault()
            raise NoConnection(self._settings.target, str(fault or cause), fault)

    def _connects(self, timeout: float) -> bool:
        patient = self._settings.retry is not None
        try:
            with _fork.calling():
                connected = _connects(self._open().channel, timeout, patient)
        except ValueError:  # gRPC's word for a channel that has been closed
            raise _closed() from None
        self._has_connected |= connected
        return connected

    async def unary(self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool) -> Answer:
        link = self._open()
        method = link.calls.unary_unary(rpc.path, rpc.encode, rpc.decode)
        try:
            with _fork.calling():
                answer = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
            self._has_connected = True
            link.hear()
            return answer
        except grpc.RpcError as error:
            raise link.error(error, closed=self._closed) from None
        except ValueError as error:
            raise self._ended(link) or error from None

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Answer, None]:
        link = self._open()
        method = link.calls.unary_stream(rpc.path, rpc.encode, rpc.decode)
        try:
            call = method(request, timeout=timeout, metadata=_metadata(self._settings), wait_for_ready=wait)
        except ValueError as error:
            raise self._ended(link) or error from None
        answers = iter(call)
        try:
            while True:
                with _fork.calling():
                    answer = next(answers, None)
                if answer is None:
                    return
                link.hear()
                yield answer
        except grpc.RpcError as error:
            raise link.error(error, closed=self._closed) from None
        except ValueError as error:
            raise self._ended(link) or error from None
        finally:
            call.cancel()

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        await self.first_connection(timeout)
        # Blocking streams take two thread switches for each message: with 16 threads they cost what unary calls do.
        return await self.unary(SAVE, request, timeout, wait=wait)

    def server_version(self, timeout: float) -> str:
        """The server's version, from a call's trailing metadata; empty if the server refuses the key, or sends none."""
        method = self._open().channel.unary_unary(LIST_SESSIONS.path, LIST_SESSIONS.encode, LIST_SESSIONS.decode)
        call: Any
        try:
            _, call = method.with_call(ListSessionsRequest(page_size=1), timeout, self._settings.call_metadata())
        except grpc.RpcError as error:
            call = error
        return next((str(value) for key, value in call.trailing_metadata() or () if key == SERVER_VERSION_KEY), "")

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - that is what blocking means

    async def close(self) -> None:
        self._closed = True
        self._link.channel.close()

    async def renew_if_silent(self, seconds: float) -> None:
        link = self._open()
        if not link.is_silent(seconds) or self._answers(link):
            return
        with self._renewing:
            if link is not self._link or self._closed:
                return
            link.replaced, self._link = True, self._new_link()
        link.channel.close()

    def _ended(self, link: Link[grpc.Channel]) -> LockstitchError | None:
        """The exception for a call that begins as another thread closes its channel, where gRPC raises ValueError."""
        if self._closed:
            return _closed()
        return _link.silent() if link.replaced else None

    def _answers(self, link: Link[grpc.Channel]) -> bool:
        """Whether anything comes over it now."""
        probe = link.channel.unary_unary(HEALTH_CHECK.path, HEALTH_CHECK.encode, HEALTH_CHECK.decode)
        try:
            with _fork.calling():
                probe(b"", timeout=PROBE_SECONDS)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        except ValueError:  # closed meanwhile
            pass
        return True

    def _new_link(self) -> Link[grpc.Channel]:
        settings, options = self._settings, _link.options(self._settings.all_options, self._opened)
        if settings.credentials is None:
            channel = grpc.insecure_channel(settings.target, options)
        else:
            channel = grpc.secure_channel(settings.target, settings.credentials, options)
        _fork.opened_blocking(channel)
        self._opened += 1
        return Link(channel, grpc.intercept_channel(channel, *settings.interceptors))

    def _open(self) -> Link[grpc.Channel]:
        if self._closed:
            raise RuntimeError("this client is closed")
        _fork.check()
        return self._link


def _connects(channel: grpc.Channel, timeout: float, patient: bool) -> bool:
    # `Channel.subscribe` would do, but leaves a thread at work for a while, which makes a fork unsafe.
    core: Any = channel._channel  # type: ignore[attr-defined]
    end = time.time() + timeout
    while (state := core.check_connectivity_state(True)) != READY.value[0]:
        if (state == FAILED.value[0] and not patient) or time.time() >= end:
            return False
        core.watch_connectivity_state(state, min(end, time.time() + CLOSE_SECONDS))
    return True


async def _cause_of_no_connection(transport: Transport) -> str | None:
    """Why there is no connection, as gRPC says: it tells that only to a call that does not wait. None: there is one."""
    try:
        await transport.unary(HEALTH_CHECK, b"", PROBE_SECONDS, wait=False)
    except Unavailable as fault:
        return fault.message
    except DeadlineExceeded:
        return "nothing answers there"
    except LockstitchError:
        pass  # an answer of whatever kind comes over a connection
    return None


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
