"""A call's memory is freed when the call ends. A reference cycle would keep it until the garbage collector runs."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from lockstitch.v1.checkpoint_service_pb2_grpc import CheckpointServiceStub
from lockstitch_server.config import Settings
from lockstitch_server.runtime.server import serve_until
from tests.support.ports import free_port

SECONDS = 120
SAVES = 3


@pytest.mark.parametrize("door", ["grpc", "http"])
async def test_calls_leave_nothing_to_the_garbage_collector(door: str) -> None:
    async with _serving() as doors, grpc.aio.insecure_channel(doors[door]) as channel:
        stub = CheckpointServiceStub(channel)
        await _save(stub)  # fills caches, whose entries stay
        with _garbage() as garbage:
            for _ in range(SAVES):
                await _save(stub)
    assert garbage == []


async def _save(stub: CheckpointServiceStub) -> None:
    async with asyncio.timeout(SECONDS):
        await stub.Save(SaveRequest(checkpoint=Checkpoint(session_id="s", step=1)))


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
def _garbage() -> Iterator[list[str]]:
    """The types of the server's objects that only the garbage collector can free, once this ends."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        types = [type(each) for each in gc.garbage]
        found += [each.__qualname__ for each in types if each.__module__.startswith("lockstitch_server")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
