"""Reads the messages of calls. Nothing of a call is read before it is known who calls."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.context import CallContext
from lockstitch_server.rpc.unpacking import Unpacker

Identify: TypeAlias = Callable[[MethodDescriptor, CallContext], Awaitable[None]]
"""Finds out who calls; what stands against the call is `refusal` in its context then."""


class Source(Protocol):
    """Where messages come from; `grpc.aio.ServicerContext` is one."""

    async def read(self) -> object:
        """The next message, as bytes; `grpc.aio.EOF` where there is none."""
        ...


class Receiver:
    """Reads what callers who are let in have sent. gRPC holds back a few KB of each call that is not read."""

    def __init__(self, identify: Identify, unpacker: Unpacker) -> None:
        self._identify = identify
        self._unpacker = unpacker

    async def request(self, method: MethodDescriptor, context: CallContext, source: Source) -> bytes:
        """The request of a method that has one. Nothing where nobody knows who calls."""
        await self._identify(method, context)
        if context.refusal is not None and context.principal is None:
            return b""
        try:
            return await self._read(source)
        except Failure as failure:
            context.refusal = context.refusal or failure
            return b""

    async def requests(self, method: MethodDescriptor, context: CallContext, source: Source) -> AsyncIterator[bytes]:
        """The requests of a method that has many, which are read as they are taken."""
        await self._identify(method, context)
        return self._all(source)

    async def _all(self, source: Source) -> AsyncIterator[bytes]:
        while isinstance(data := await source.read(), bytes):
            yield await self._unpacker.unpack(data)

    async def _read(self, source: Source) -> bytes:
        data = await source.read()
        if not isinstance(data, bytes):
            raise Failure(Reason.INVALID_FIELD, "request: the call ended without a message", field="request")
        return await self._unpacker.unpack(data)


def compression_options() -> list[tuple[str, int]]:
    """gRPC's options: it takes messages as they come, plain or gzip, and refuses other ways to compress them."""
    algorithms = (grpc.Compression.NoCompression, grpc.Compression.Gzip)
    return [
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", sum(1 << algorithm.value for algorithm in algorithms)),
    ]
