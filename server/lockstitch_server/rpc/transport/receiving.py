"""Reads the messages of calls. Nothing of a call is read before its caller has authenticated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.config import LARGEST_MESSAGE, Limits, Settings
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.dispatcher import READ_BY_THE_BATCH
from lockstitch_server.rpc.errors import AbortedCall
from lockstitch_server.rpc.fair_threads import FairThreads
from lockstitch_server.rpc.field_count import FieldCounter
from lockstitch_server.rpc.requests import too_large
from lockstitch_server.rpc.stream_batches import StreamMessage, within_limit
from lockstitch_server.rpc.transport.arriving_calls import ArrivingCalls
from lockstitch_server.rpc.transport.request_memory import HeldRequest, RequestMemory
from lockstitch_server.rpc.transport.unpacking import GZIP, INLINE_BYTES, unpack

T = TypeVar("T")
Identify: TypeAlias = Callable[[MethodDescriptor, CallContext], Awaitable[None]]
"""Authenticates the caller. A failure is stored as `refusal` in the context."""
FEW_FIELDS_BYTES = 256 * 1024
"""Messages up to this size cannot have too many fields."""
LEAVING_SECONDS = 1.0
"""How long a call without a message is kept until it is refused: clients send none only when they leave."""
THREADS = 2
"""How many messages are unpacked at once. Each may take memory up to the limit of its size."""


class Source(Protocol):
    """Where messages come from; `grpc.aio.ServicerContext` is one."""

    async def read(self) -> object:
        """The next message, as bytes; `grpc.aio.EOF` where there is none."""
        ...


class Preparation:
    """Makes sure that messages can be parsed at little cost: within limits of bytes and of fields, which it counts.

    receivable: bytes of a message that gRPC takes in, which may hold many saves. Long work runs in threads; messages
    that wait for it are counted in the memory for requests.
    """

    def __init__(self, limits: Limits, receivable: int, memory: RequestMemory) -> None:
        self._memory = memory
        self._limits = limits
        self._receivable = receivable
        self._fields = FieldCounter(limits.max_fields, "limits.max_fields")
        self._limit = cache(self._limit_of)
        self._threads = FairThreads(THREADS, THREADS, "lockstitch-prepare")

    async def request(self, method: MethodDescriptor, data: bytes, tenant: str) -> bytes:
        """A request as it is to be parsed. Fails with TOO_LARGE, INVALID_FIELD, RATE_LIMITED."""
        return await self._run(self._request, method, data, tenant) if _is_long(data) else self._request(method, data)

    async def stream_message(self, method: MethodDescriptor, data: bytes, tenant: str) -> Sequence[StreamMessage]:
        """A message of a SaveStream as messages that are to be parsed. Fails with TOO_LARGE, INVALID_FIELD,
        RATE_LIMITED."""
        if not _is_long(data):
            return [self._request(method, data)]
        return await self._run(self._stream_message, method, data, tenant)

    async def _run(
        self, prepare: Callable[[MethodDescriptor, bytes], T], method: MethodDescriptor, data: bytes, tenant: str
    ) -> T:
        held = HeldRequest(self._memory, tenant)
        held.hold(len(data))
        try:
            return await self._threads.run(tenant, partial(prepare, method, data))
        finally:
            held.release()

    def _request(self, method: MethodDescriptor, data: bytes) -> bytes:
        data = self._unpacked(method, data)
        if len(data) > FEW_FIELDS_BYTES:
            self._fields.check(method.input_type, data)
        return data

    def _stream_message(self, method: MethodDescriptor, data: bytes) -> Sequence[StreamMessage]:
        data = self._unpacked(method, data)
        try:
            return [self._request(method, data)]
        except Failure:
            return within_limit(data, self._fields)

    def _unpacked(self, method: MethodDescriptor, data: bytes) -> bytes:
        most, name = self._limit(method)
        if data.startswith(GZIP):
            data = unpack(data, most, name)
        if len(data) > most:
            raise too_large(len(data), most, name)
        return data

    def _limit_of(self, method: MethodDescriptor) -> tuple[int, str]:
        """Bytes that a request may have, and the setting that says so."""
        if method.client_streaming:
            return self._receivable, "max_message_bytes"
        if method.name in READ_BY_THE_BATCH:
            return self._limits.max_message_bytes, "max_message_bytes"
        return self._limits.query


class Receiver:
    """Reads what callers who are let in have sent. gRPC holds back a few KB of each call that is not read."""

    def __init__(self, identify: Identify, preparation: Preparation, settings: Settings) -> None:
        self._identify = identify
        self._preparation = preparation
        self._arriving = ArrivingCalls(settings)

    async def request(self, method: MethodDescriptor, context: CallContext, source: Source) -> bytes:
        """The request of a method that has one. Empty if the caller is not authenticated, or the client has left."""
        context.peer()  # which gRPC forgets when the client leaves
        try:
            await self._identify(method, context)
            return await self._read(method, source, context.tenant) if context.is_identified else b""
        except (Failure, AbortedCall, asyncio.CancelledError) as error:
            # Its traceback would hold the message until the call ends.
            context.refusal = context.refusal or error.with_traceback(None)
            return b""

    async def requests(
        self, method: MethodDescriptor, context: CallContext, source: Source
    ) -> AsyncIterator[StreamMessage]:
        """The requests of a method that has many, which are read as they are taken."""
        context.peer()  # which gRPC forgets when the client leaves
        await self._identify(method, context)
        return self._all(method, source, context.tenant)

    async def _all(self, method: MethodDescriptor, source: Source, tenant: str) -> AsyncIterator[StreamMessage]:
        while isinstance(data := await source.read(), bytes):
            for message in await self._preparation.stream_message(method, data, tenant):
                yield message

    async def _read(self, method: MethodDescriptor, source: Source, tenant: str) -> bytes:
        call = self._arriving.begin(tenant)
        try:
            data = await source.read()
        except asyncio.CancelledError:
            if late := self._arriving.late(call):
                raise late from None
            raise
        finally:
            self._arriving.end(call)
        if not isinstance(data, bytes):
            # Where the client has left, gRPC says first that there are no more messages, and cancels this task then.
            await asyncio.sleep(LEAVING_SECONDS)
            raise AbortedCall(grpc.StatusCode.UNIMPLEMENTED, "request: the method takes one message; there is none")
        return await self._preparation.request(method, data, tenant)


def receivable_bytes(max_message_bytes: int) -> int:
    """Bytes of a message that is taken in. Those above the limit are refused with an error that names it."""
    return min(2 * max_message_bytes + 1024 * 1024, LARGEST_MESSAGE)


def _is_long(data: bytes) -> bool:
    """Whether it may take long to prepare a message."""
    return len(data) > (INLINE_BYTES if data.startswith(GZIP) else FEW_FIELDS_BYTES)


def compression_options() -> list[tuple[str, int]]:
    """gRPC's options: it takes messages as they come, plain or gzip, and refuses other ways to compress them."""
    algorithms = (grpc.Compression.NoCompression, grpc.Compression.Gzip)
    return [
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", sum(1 << algorithm.value for algorithm in algorithms)),
    ]
