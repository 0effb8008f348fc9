"""More than the database can take: what is too much is refused at once, and the server's memory stays as it is."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveRequest
from tests.robustness.faults import assert_says, assert_unavailable, frozen, process_of
from tests.support.api import grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # floods

MEBIBYTE = 1024 * 1024
CALLS = 2000
AT_ONCE = 50
SAVE = SaveRequest(checkpoint=Checkpoint(session_id="session", header=TypedBlob(data=b"x" * 100_000)))
"""All calls together bring twice what the server may grow by."""
MOST_GROWTH = 100 * MEBIBYTE
LOAD = LoadLatestRequest(session_id="session")
HANG_SECONDS = 60.0
BURST = 2500
"""Calls of one connection that come faster than they are begun. By default gRPC cancels some above 1,000, and
all above 3,000."""

T = TypeVar("T")


@pytest.mark.parametrize("bound", ["queue.max_operations=8", "queue.max_bytes=1MiB"])
async def test_saves_beyond_the_queue_are_refused(own_postgres: Postgres, bound: str) -> None:
    with LockstitchServer(own_postgres.url(), ["--migrate", f"--set={bound}"]) as server:
        async with grpc_api(server.target) as api:
            await api.save(SAVE)
            memory = process_of(server).memory_info
            before = memory().rss
            with frozen(own_postgres):
                waiting = await _fill(lambda: api.save(SAVE))
                await _assert_refused(lambda: api.save(SAVE), CALLS)
                assert memory().rss - before < MOST_GROWTH
            await _succeeded(waiting)


async def test_loads_beyond_the_queue_are_refused(own_postgres: Postgres) -> None:
    bounds = ("--set=queue.max_loads=4", "--set=queue.load_batch=1", "--pool-size=1")
    with LockstitchServer(own_postgres.url(), ["--migrate", *bounds]) as server:
        async with grpc_api(server.target) as api:
            await api.save(SAVE)
            with frozen(own_postgres):
                waiting = await _fill(lambda: api.load_latest(LOAD))
                await _assert_refused(lambda: api.load_latest(LOAD), AT_ONCE)
            for loaded in await _succeeded(waiting):
                assert loaded.checkpoint.header == SAVE.checkpoint.header


@pytest.mark.usefixtures("both_doors")
async def test_no_call_of_a_burst_is_lost() -> None:
    saves = [SaveRequest(checkpoint=Checkpoint(session_id="session", step=step)) for step in range(BURST)]
    with LockstitchServer("memory://") as server:
        async with grpc_api(server.target) as api, grpc_api(server.target) as other:
            await asyncio.gather(*(each.save(save) for save in saves for each in (api, other)))


async def _fill(call: Callable[[], Awaitable[T]]) -> list["asyncio.Future[T]"]:
    """Call until a call is refused. Returns the others: those that wait, and those whose refusal is on its way."""
    tasks = [asyncio.ensure_future(call()) for _ in range(AT_ONCE)]
    refused, others = await asyncio.wait(tasks, timeout=HANG_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    assert refused
    for task in refused:
        await assert_unavailable(task, "OVERLOADED")
    return list(others)


async def _succeeded(calls: Iterable["asyncio.Future[T]"]) -> list[T]:
    """What the calls that were let in return."""
    results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), HANG_SECONDS)
    for error in results:
        if isinstance(error, BaseException):
            assert_says(error, "OVERLOADED")
    succeeded = [result for result in results if not isinstance(result, BaseException)]
    assert succeeded
    return succeeded


async def _assert_refused(call: Callable[[], Awaitable[object]], count: int) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for _ in numbers:
            await assert_unavailable(call(), "OVERLOADED")

    await asyncio.wait_for(asyncio.gather(*(caller() for _ in range(AT_ONCE))), HANG_SECONDS)
