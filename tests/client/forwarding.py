"""A gRPC server between a client and a real server: it forwards unary calls, and loses the answers that a test says."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

MOST_SECONDS = 60.0


@dataclass
class Forwarder:
    """Where it is, and how often each method was called. lost: how many first answers of a method get lost."""

    target: str
    lost: dict[str, int]
    calls: Counter[str] = field(default_factory=Counter)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, forwarder: Forwarder, channel: grpc.aio.Channel) -> None:
        self._forwarder = forwarder
        self._channel = channel

    def service(self, handler_call_details: Any) -> Any:
        path: str = handler_call_details.method

        async def forward(request: bytes, context: Any) -> bytes:
            name = path.rpartition("/")[2]
            self._forwarder.calls[name] += 1
            call: Any = self._channel.unary_unary(path)
            answer = b""
            try:
                answer = await call(request, timeout=MOST_SECONDS)
            except grpc.aio.AioRpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                await context.abort(error.code(), error.details() or "")
            if self._forwarder.calls[name] <= self._forwarder.lost.get(name, 0):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)


@asynccontextmanager
async def forwarding_server(target: str, **lost: int) -> AsyncIterator[Forwarder]:
    """Forwards to `target`. lost: how many first answers of each method are carried out and get lost."""
    async with grpc.aio.insecure_channel(target) as channel:
        server = grpc.aio.server()
        forwarder = Forwarder("", lost)
        server.add_generic_rpc_handlers((_Handler(forwarder, channel),))
        forwarder.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield forwarder
        finally:
            await server.stop(None)
