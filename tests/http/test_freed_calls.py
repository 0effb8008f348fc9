"""A call's memory is freed when the call ends. A reference cycle would keep it until the garbage collector runs."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, LoadRequest, SaveRequest
from lockstitch_server.config import Settings
from lockstitch_server.runtime.server import serve_until
from lockstitch_server.saving.save_requests import RawRequest
from tests.support.ports import free_port

SECONDS = 120
TIMES = 3


CALLS: dict[str, tuple[str, Message, grpc.StatusCode]] = {
    "a save": ("Save", SaveRequest(checkpoint=Checkpoint(session_id="s", step=1)), grpc.StatusCode.OK),
    "an invalid save": ("Save", SaveRequest(checkpoint=Checkpoint(step=1)), grpc.StatusCode.INVALID_ARGUMENT),
    "a load": ("LoadLatest", LoadLatestRequest(session_id="s"), grpc.StatusCode.OK),
    "a load of nothing": ("Load", LoadRequest(session_id="none", step=1), grpc.StatusCode.NOT_FOUND),
    "an invalid load": ("Load", LoadRequest(), grpc.StatusCode.INVALID_ARGUMENT),
}


SAVES = {SaveRequest.__qualname__, RawRequest.__qualname__}
"""gRPC itself keeps parts of calls that fail, and callbacks. Saves, which may be large, must not be among them."""


@pytest.mark.parametrize("door", ["grpc", "http"])
async def test_calls_leave_nothing_to_the_garbage_collector(door: str) -> None:
    found: dict[str, set[str]] = {}
    async with _serving() as doors, grpc.aio.insecure_channel(doors[door]) as channel:
        for name, call in CALLS.items():
            await _called(channel, *call)  # fills caches, whose entries stay
            with _garbage() as garbage:
                for _ in range(TIMES):
                    await _called(channel, *call)
            found[name] = garbage & SAVES if door == "grpc" else garbage
    assert found == {name: set() for name in CALLS}


async def _called(channel: grpc.aio.Channel, method: str, request: Message, code: grpc.StatusCode) -> None:
    call: Any = channel.unary_unary(f"/lockstitch.v1.CheckpointService/{method}")
    async with asyncio.timeout(SECONDS):
        assert await call(request.SerializeToString()).code() is code


@asynccontextmanager
async def _serving() -> AsyncIterator[dict[str, str]]:
    """A server in this process. Yields the addresses of its doors."""
    addresses = {door: f"127.0.0.1:{free_port()}" for door in ("grpc", "http")}
    stop, serving = asyncio.Event(), asyncio.get_running_loop().create_future()
    settings = Settings(store="memory://", listen=addresses["grpc"], http_listen=addresses["http"])
    server = asyncio.create_task(serve_until(stop, settings, serving.set_result))
    async with asyncio.timeout(SECONDS):
        await serving
    try:
        yield addresses
    finally:
        stop.set()
        await server


@contextmanager
def _garbage() -> Iterator[set[str]]:
    """The types of the server's objects that only the garbage collector can free, and of messages, once this ends."""
    found: set[str] = set()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        types = [type(each) for each in gc.garbage]
        found |= {each.__qualname__ for each in types if each.__module__.startswith("lockstitch")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
