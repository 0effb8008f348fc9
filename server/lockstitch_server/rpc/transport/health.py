"""`grpc.health.v1.Health`: whether the process lives, and whether it can do its work.

"" is the process: it serves until it stops, whatever its database does, since to restart it would mend nothing. The
services of the contract are ready while the database answers and the server is not about to stop.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.transport.unpacking import GZIP, unpack

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

SERVICE_NAME = "grpc.health.v1.Health"
LIVENESS = ""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

MOST_REQUEST_BYTES = 4096
READ_SECONDS = 5.0
"""How long a request may take to arrive. Anybody may call, so nobody may have much of one lie here for long."""
CONNECTION_WATCHES = 8
"""How many Watch calls of one connection may be under way."""


class Health:
    """Reports the health that it was given; `services` begin as ready.

    most_watches: how many Watch calls may be under way.
    """

    def __init__(self, services: Iterable[str], most_watches: int) -> None:
        self._services = frozenset(services)
        self._most_watches = most_watches
        self._watches: Counter[str] = Counter()
        """How many Watch calls each connection has under way."""
        self._able = True
        self._leaving = False
        self._ended = False
        self._changed = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """The service. For gRPC its methods take streams, so that it is for them how they read their request."""
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.stream_unary_rpc_method_handler(self._check),
            "List": grpc.stream_unary_rpc_method_handler(self._list),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)

    @property
    def is_ready(self) -> bool:
        """Whether the services can do their work, and the server is not about to stop."""
        return self._able and not self._leaving

    def set_ready(self, able: bool) -> None:
        """Say whether the services can do their work."""
        self._able = able
        self._tell()

    def leave(self) -> None:
        """The server is about to stop: from now on nothing is ready."""
        self._leaving = True
        self._tell()

    def end(self) -> None:
        """End the calls of all who watch."""
        self._ended = True
        self._tell()

    async def _check(self, _: object, context: ServicerContext) -> bytes:
        status = self._status(await _service(context))
        if status == UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return _serialized(health_pb2.HealthCheckResponse(status=status))

    async def _list(self, _: object, context: ServicerContext) -> bytes:
        names = [LIVENESS, *sorted(self._services)]
        statuses = {name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in names}
        return _serialized(health_pb2.HealthListResponse(statuses=statuses))

    async def _watch(self, _: object, context: ServicerContext) -> AsyncIterator[bytes]:
        peer = context.peer()
        if self._watches.total() >= self._most_watches or self._watches[peer] >= CONNECTION_WATCHES:
            await _refuse(
                context,
                f"too many Watch calls: the limits are {CONNECTION_WATCHES} for a connection and "
                f"{self._most_watches} for the server (health.max_watches); use Check instead",
            )
        with self._watching(peer):
            service, told = await _service(context), None
            while True:
                changed, status = self._changed, self._status(service)
                if status != told:
                    yield _serialized(health_pb2.HealthCheckResponse(status=status))
                    told = status
                if self._ended:
                    return
                await changed.wait()

    @contextmanager
    def _watching(self, peer: str) -> Iterator[None]:
        self._watches[peer] += 1
        try:
            yield
        finally:
            self._watches[peer] -= 1
            if not self._watches[peer]:
                del self._watches[peer]

    def _status(self, service: str) -> "health_pb2.HealthCheckResponse.ServingStatus":
        if service == LIVENESS:
            return SERVING
        if service not in self._services:
            return UNKNOWN
        return SERVING if self.is_ready else NOT_SERVING

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _service(context: ServicerContext) -> str:
    """The service that a request names."""
    try:
        data = await asyncio.wait_for(context.read(), READ_SECONDS)
    except TimeoutError:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"no whole request came within {READ_SECONDS:g} s")
    if not isinstance(data, bytes):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call ended without a request")
    if len(data) > MOST_REQUEST_BYTES:
        await _refuse(context, f"the request has {len(data)} bytes; the limit is {MOST_REQUEST_BYTES}")
    try:
        message = unpack(data, MOST_REQUEST_BYTES, "of health checks") if data.startswith(GZIP) else data
        return str(health_pb2.HealthCheckRequest.FromString(message).service)
    except (DecodeError, Failure):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no HealthCheckRequest")


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


async def _refuse(context: ServicerContext, text: str) -> NoReturn:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
