"""A server with several workers as tests see it: who is there, what it has logged; clients, each connected alone."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from lockstitch import AsyncClient
from tests.support.api import GrpcApi
from tests.support.postgres import has_ended
from tests.support.server import LockstitchServer

PATIENCE = 60.0
"""For what may need a new process or two, on a busy machine."""
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


def lines(server: LockstitchServer, message: str) -> list[dict[str, Any]]:
    """What was logged under this message, since the very first start."""
    text = server.log.read_text()
    whole = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half written
    logged = [json.loads(line) for line in whole if line.startswith("{")]
    return [line for line in logged if line.get("message") == message]  # h2corn's have none


def pids(server: LockstitchServer) -> dict[int, int]:
    """The workers that serve: their processes by their numbers."""
    alive = {worker.pid for worker in server.workers if not has_ended(worker)}
    return {line["worker"]: line["pid"] for line in lines(server, "worker_ready") if line["pid"] in alive}


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.02)


async def complete(server: LockstitchServer, count: int) -> dict[int, int]:
    """Wait until so many workers serve. Returns their processes by their numbers."""
    await until(lambda: len(pids(server)) == count)
    return pids(server)


@asynccontextmanager
async def crowd(target: str, count: int) -> AsyncIterator[list[GrpcApi]]:
    """Clients that never retry."""
    async with AsyncExitStack() as stack:
        channels = [grpc.aio.insecure_channel(target, [OWN_CONNECTION]) for _ in range(count)]
        yield [GrpcApi(await stack.enter_async_context(channel)) for channel in channels]


@asynccontextmanager
async def patient_crowd(target: str, count: int) -> AsyncIterator[list[AsyncClient]]:
    """Clients that retry, as they are shipped."""
    async with AsyncExitStack() as stack:
        clients = [AsyncClient(target, options=[OWN_CONNECTION]) for _ in range(count)]
        yield [await stack.enter_async_context(client) for client in clients]
