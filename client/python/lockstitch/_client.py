"""The two clients. `AsyncClient` has the calls as they are written; `Client` runs each of them to its end."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, get_args, overload

import grpc
from grpc import aio

from lockstitch._api import Api
from lockstitch._calls import Caller
from lockstitch._channel import CONNECT_TIMEOUT, Options, RetryPolicy
from lockstitch._limiter import InFlightPolicy
from lockstitch._memory import DeltaPolicy, Memory
from lockstitch._paging import AsyncPager, Pager
from lockstitch._runner import AsyncSession, Session
from lockstitch._security import Tls, Token
from lockstitch._settings import Credentials, channel_settings
from lockstitch._transport import AsyncTransport, BlockingTransport, iterate, run
from lockstitch.plain import AsyncThread, Codec, Thread
from lockstitch.plain._thread import Core

P = ParamSpec("P")
T = TypeVar("T")

Interceptor = aio.ClientInterceptor | grpc.UnaryUnaryClientInterceptor | grpc.UnaryStreamClientInterceptor
"""The first is for an `AsyncClient`, the others are for a `Client`, whose calls are of these two kinds."""

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 30.0


class AsyncClient(Api):
    """A client for asyncio. Any number of tasks of one event loop may share it.

    The connection is opened by the first call, which raises NoConnection within `connect_timeout` where there is no
    server. From the first connection on, a server that is away or restarting is waited for. `wait_ready` waits for a
    server that has yet to start.

    >>> async with lockstitch.AsyncClient("127.0.0.1:50051") as client:
    ...     await client.load_latest("order-4711")

    target: where the server is, such as "127.0.0.1:50051" or "dns:///lockstitch:50051"; a name with many addresses
        spreads the calls over all of them. "https://host:port" is for TLS. An address without a port, or a URL with a
        path, is a ValueError.
    credentials: TLS, as `Tls` or gRPC's own `grpc.ssl_channel_credentials()`; None for an unencrypted connection.
    key: a bearer key or token, or a function that gives the one of now, which is asked for every call.
    tenant: whose sessions the calls are about, where the key has several tenants.
    insecure: whether a key may be sent unencrypted to another machine, as where a mesh encrypts it.
    metadata: further entries, sent with every call.
    timeout: seconds that a call may take, retries included, unless the call has its own. There is always a limit.
    connect_timeout: seconds that calls wait for the client's first connection; `timeout` ends that wait, too.
    delta: whether to send only what changed since the session's last save, and how much to remember for it.
    retry: whether calls wait for a connection and are repeated when they end with UNAVAILABLE, and how.
    stream: whether saves that are under way at the same time share streams, which takes a fraction of the work. A
        `Client` has none of them so far.
    in_flight: how many saves may be under way at once; None: 1,024 saves and 32 MiB. A `Client` has no such limit: each
        of its threads has one save under way.
    options: further options for the gRPC channel, which override the client's own.
    interceptors: gRPC's client interceptors, which see every attempt of a call, for metrics or metadata: those of
        `grpc.aio` here, and those of `grpc` for a `Client`. The first is the outermost.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | Tls | None = None,
        key: Token | None = None,
        tenant: str = "",
        insecure: bool = False,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float = DEFAULT_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        delta: DeltaPolicy | bool = True,
        retry: RetryPolicy | bool = True,
        stream: bool = True,
        in_flight: InFlightPolicy | None = None,
        options: Options = (),
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        shown = Credentials(credentials, key, tenant, insecure, metadata)
        settings = channel_settings(target, shown, retry, stream, connect_timeout, options)
        settings = replace(settings, in_flight=in_flight or InFlightPolicy(), interceptors=tuple(interceptors))
        self._transport = AsyncTransport(settings)
        caller = Caller(self._transport, settings.retry, target)
        super().__init__(caller, _memory(delta), timeout)

    def session(self, session_id: str) -> AsyncSession:
        """A session by its id, be there one or not."""
        return AsyncSession(self, session_id)

    @overload
    def thread(self, thread_id: str, *, codec: Codec | None = None) -> AsyncThread[dict[str, Any]]: ...
    @overload
    def thread(self, thread_id: str, kind: type[T], *, codec: Codec | None = None) -> AsyncThread[T]: ...
    def thread(self, thread_id: str, kind: Any = dict, *, codec: Codec | None = None) -> AsyncThread[Any]:
        """A session that holds a plain state, be there one or not.

        kind: the type that `load` gives: a dict, a TypedDict, a dataclass or a pydantic model.
        codec: how values are written; None: as JSON.

            thread = client.thread("order-42")
        """
        return AsyncThread(Core(self, thread_id, kind, codec))

    async def close(self) -> None:
        """End running calls (they raise Cancelled) and the connection. May be repeated."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _blocking(
    call: Callable[Concatenate[Api, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    @functools.wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(call(self._api, *args, **kwargs))

    return method


def _iterating(
    call: Callable[Concatenate[Api, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    @functools.wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return iterate(call(self._api, *args, **kwargs))

    _tell_return_type(method, call, Iterator)
    return method


def _paging(
    call: Callable[Concatenate[Api, P], AsyncPager[T]],
) -> Callable[Concatenate["Client", P], Pager[T]]:
    @functools.wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Pager[T]:
        return Pager(call(self._api, *args, **kwargs))

    _tell_return_type(method, call, Pager)
    return method


def _tell_return_type(method: Callable[..., object], call: Callable[..., object], container: Any) -> None:
    """Have `help()` show the blocking container of what the call gives."""
    signature = inspect.signature(call)
    item = get_args(signature.return_annotation)[0]
    method.__dict__["__signature__"] = signature.replace(return_annotation=container[item])


class Client:
    """A client that blocks. Any number of threads may share it.

    It has the same calls as `AsyncClient`, with the same arguments, results and errors, and takes the same arguments.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | Tls | None = None,
        key: Token | None = None,
        tenant: str = "",
        insecure: bool = False,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float = DEFAULT_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        delta: DeltaPolicy | bool = True,
        retry: RetryPolicy | bool = True,
        stream: bool = True,
        in_flight: InFlightPolicy | None = None,
        options: Options = (),
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        shown = Credentials(credentials, key, tenant, insecure, metadata)
        settings = channel_settings(target, shown, retry, stream, connect_timeout, options)
        self._transport = BlockingTransport(replace(settings, interceptors=tuple(interceptors)))
        caller = Caller(self._transport, settings.retry, target)
        self._api = Api(caller, _memory(delta), timeout)

    save = _blocking(Api.save)
    save_writes = _blocking(Api.save_writes)
    load_latest = _blocking(Api.load_latest)
    load = _blocking(Api.load)
    load_latest_many = _iterating(Api.load_latest_many)
    walk_ancestors = _iterating(Api.walk_ancestors)
    list_sessions = _paging(Api.list_sessions)
    list_checkpoints = _paging(Api.list_checkpoints)
    get_session = _blocking(Api.get_session)
    update_session = _blocking(Api.update_session)
    delete_sessions = _blocking(Api.delete_sessions)
    delete_checkpoints = _blocking(Api.delete_checkpoints)
    rewind = _blocking(Api.rewind)
    copy_session = _blocking(Api.copy_session)
    prune_sessions = _blocking(Api.prune_sessions)
    watch_session = _iterating(Api.watch_session)
    acquire_lease = _blocking(Api.acquire_lease)
    renew_lease = _blocking(Api.renew_lease)
    release_lease = _blocking(Api.release_lease)
    break_lease = _blocking(Api.break_lease)
    wait_ready = _blocking(Api.wait_ready)

    def session(self, session_id: str) -> Session:
        """A session by its id, be there one or not."""
        return Session(self._api, session_id)

    @overload
    def thread(self, thread_id: str, *, codec: Codec | None = None) -> Thread[dict[str, Any]]: ...
    @overload
    def thread(self, thread_id: str, kind: type[T], *, codec: Codec | None = None) -> Thread[T]: ...
    def thread(self, thread_id: str, kind: Any = dict, *, codec: Codec | None = None) -> Thread[Any]:
        """A session that holds a plain state, be there one or not.

        kind: the type that `load` gives: a dict, a TypedDict, a dataclass or a pydantic model.
        codec: how values are written; None: as JSON.

            thread = client.thread("order-42")
        """
        return Thread(Core(self._api, thread_id, kind, codec))

    def close(self) -> None:
        """End running calls (they raise Cancelled) and the connection. May be repeated."""
        run(self._transport.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _memory(delta: DeltaPolicy | bool) -> Memory | None:
    policy = DeltaPolicy() if delta is True else delta or None
    return Memory(policy) if policy is not None else None
