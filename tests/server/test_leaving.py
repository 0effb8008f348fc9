"""Calls whose callers leave before their message has arrived."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import cast

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lockstitch_server.config import Limits, Settings
from lockstitch_server.rpc.call_context import CallContext, Transport
from lockstitch_server.rpc.dispatcher import CHECKPOINT_SERVICE
from lockstitch_server.rpc.transport.receiving import Preparation, Receiver
from lockstitch_server.rpc.transport.request_memory import RequestMemory
from tests.robustness.crowd import lines, until
from tests.support.server import LockstitchServer

SAVE = "/lockstitch.v1.CheckpointService/Save"


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer(arguments=["--log-level=debug"]) as running:
        yield running


async def test_is_logged_as_cancelled(server: LockstitchServer) -> None:
    async with grpc.aio.insecure_channel(server.target) as channel:
        for _ in range(10):
            save: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(SAVE)
            call = save(_never())
            # The server takes up calls of a connection in their order.
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            call.cancel()
        await until(lambda: len(_codes(server)) == 10)
    assert set(_codes(server)) == {"CANCELLED"}


async def test_a_call_that_ends_without_a_message_is_refused(server: LockstitchServer) -> None:
    async with grpc.aio.insecure_channel(server.target) as channel:
        save: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(SAVE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await save(_nothing(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def _never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _codes(server: LockstitchServer) -> list[str]:
    """How the calls to save have ended, by the log."""
    return [line["code"] for line in lines(server, "call") if line["method"].endswith(".Save")]


class _Leaving:
    """A transport whose client leaves as soon as it is read from: asked who it was then, gRPC's own crashes."""

    def __init__(self) -> None:
        self.has_left = False

    async def read(self) -> object:
        self.has_left = True
        return b""

    def peer(self) -> str:
        assert not self.has_left
        return "ipv4:192.0.2.1:1"


async def test_peer_is_asked_before_the_message_is_read() -> None:
    async def identify(method: MethodDescriptor, context: CallContext) -> None:
        context.is_identified = True

    transport = _Leaving()
    context = CallContext(transport=cast("Transport", transport))
    receiver = Receiver(identify, Preparation(Limits(), 2**20, RequestMemory(2**20)), Settings())
    await receiver.request(CHECKPOINT_SERVICE.methods_by_name["Save"], context, transport)
    assert transport.has_left
    assert context.peer() == "ipv4:192.0.2.1:1"
