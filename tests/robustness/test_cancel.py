"""Clients that give up at any moment: nothing half-done stays behind, neither in the store nor in the server."""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.message import Message

from lockstitch.v1.checkpoint_service_pb2 import (
    ListCheckpointsRequest,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadLatestStreamRequest,
)
from lockstitch.v1.checkpoint_service_pb2_grpc import CheckpointServiceStub
from lockstitch_server.config import Settings
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.dispatcher import CHECKPOINT_SERVICE
from lockstitch_server.runtime.server import Engine, create_engine
from lockstitch_server.runtime.startup import open_store
from tests.robustness.ledger import Ledger, Sent
from tests.robustness.workload import full_save, pending_writes, writes_save
from tests.support import server as servers_under_test
from tests.support.api import grpc_api
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # hundreds of calls

CALLS = 1000
CALLERS = 16
SESSIONS = 20
STEPS = 12
SETTLED_SECONDS = 20
"""A bound against hanging: what is left behind is left for ever."""

OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""

GIVEN_UP = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
RESET = {grpc.StatusCode.UNAVAILABLE}
"""What calls end with when the HTTP door has closed their connection for too many resets."""
Call = Callable[[str, Message], Awaitable[None]]
"""Calls a method, and gives up at some moment. Raises if it has given up."""


async def test_cancelled_calls_leave_nothing_behind(rng: random.Random, store_url_of_each_door: str) -> None:
    """Over gRPC: half of the calls are cancelled, half have a deadline that is too near."""
    ledger = Ledger()
    with LockstitchServer(store_url_of_each_door, ["--migrate"]) as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            given_up = await _call_many(_impatient(CheckpointServiceStub(channel), rng), ledger, rng)
        async with grpc_api(server.target) as api:
            await api.save(full_save("afterwards", 0))
            await ledger.check_all(api)
            await _assert_no_transaction(store_url_of_each_door)
    assert given_up > CALLS / 4, "too few calls were given up for this to show anything"
    assert ledger.acknowledged > 0, "every call was given up before it did anything"


async def test_cancelled_calls_leave_nothing_in_the_server(rng: random.Random, store_url: str) -> None:
    """In process: the task of a call is cancelled at whatever await it has come to."""
    async with open_store(Settings(store=store_url, migrate=True)) as store:
        engine = create_engine(store, Settings(store=store_url))
        before = asyncio.all_tasks()
        given_up = await _call_many(_cancelled_task(engine, rng), Ledger(), rng)
        await _until(lambda: asyncio.all_tasks() <= before)
        for batcher in (engine.saves, engine.loader._batcher):
            assert (batcher._queue.items, batcher._queue.bytes, len(batcher._running)) == (0, 0, 0)
        await engine.close()
    assert CALLS / 4 < given_up < CALLS


class Patience:
    """How long a caller waits, drawn such that about half of the calls are given up however fast the machine is."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._most = 0.01

    async def of(self, call: Callable[[float], Awaitable[None]]) -> None:
        """Make a call with a number of seconds after which it should be given up."""
        try:
            await call(self._rng.uniform(0.0005, self._most))
        except BaseException:
            self._most *= 1.03
            raise
        self._most = max(self._most / 1.03, 0.001)


def _impatient(stub: CheckpointServiceStub, rng: random.Random) -> Call:
    max_wait = Patience(rng)

    async def call(name: str, request: Message) -> None:
        method = getattr(stub, name)
        if rng.random() < 0.5:
            await max_wait.of(lambda seconds: _finished(method(request, timeout=seconds)))
        else:
            await max_wait.of(lambda seconds: _cancelled_after(seconds, method(request)))

    return call


async def _cancelled_after(seconds: float, call: Any) -> None:
    """Wait for something that can be cancelled, and cancel it then."""
    timer = asyncio.get_running_loop().call_later(seconds, call.cancel)
    try:
        await _finished(call)
    finally:
        timer.cancel()


async def _finished(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pass
    else:
        await call


def _cancelled_task(engine: Engine, rng: random.Random) -> Call:
    max_wait = Patience(rng)

    async def call(name: str, request: Message) -> None:
        data = request.SerializeToString()
        await max_wait.of(
            lambda seconds: _cancelled_after(seconds, asyncio.create_task(_dispatched(engine, name, data)))
        )

    return call


async def _dispatched(engine: Engine, name: str, data: bytes) -> None:
    method = CHECKPOINT_SERVICE.methods_by_name[name]
    if method.server_streaming:
        async for _ in engine.dispatcher.stream(method, data, CallContext()):
            pass
    else:
        await engine.dispatcher.unary(method, data, CallContext())


async def _call_many(call: Call, ledger: Ledger, rng: random.Random) -> int:
    """Make many calls of all kinds, several at a time. Returns how many were given up."""
    numbers = iter(range(CALLS))

    async def caller() -> int:
        return sum([not await _call_one(call, ledger, number, rng) for number in numbers])

    return sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))


async def _call_one(call: Call, ledger: Ledger, number: int, rng: random.Random) -> bool:
    """Whether it was answered. Each save has a checkpoint of its own."""
    name, request, sent = _request(ledger, number, rng)
    try:
        await call(name, request)
    except asyncio.CancelledError:
        return False
    except grpc.aio.AioRpcError as error:
        if error.code() not in (GIVEN_UP | RESET if servers_under_test.DOOR == "http" else GIVEN_UP):
            raise
        return False
    if sent is not None:
        sent.acknowledged = True
    return True


def _request(ledger: Ledger, number: int, rng: random.Random) -> tuple[str, Message, Sent | None]:
    session, step = f"session-{number % SESSIONS}", number // SESSIONS % STEPS
    if number % 4 < 2:
        save = full_save(session, step)
        save.writes.extend(pending_writes(f"saved-{number}", 3))
        return "Save", save, ledger.note_save(save)
    if number % 4 == 2 and (saved := ledger.acknowledged_steps(session)):
        writes = writes_save(session, rng.choice(saved), pending_writes(f"task-{number}", 5))
        return "SaveWrites", writes, ledger.note_writes(writes)
    return *rng.choice(_reads(session)), None


def _reads(session: str) -> list[tuple[str, Message]]:
    one = LoadLatestRequest(session_id=session)
    return [
        ("LoadLatest", one),
        ("LoadLatest", one),
        ("LoadLatestStream", LoadLatestStreamRequest(requests=[one])),
        ("ListSessions", ListSessionsRequest()),
        ("ListCheckpoints", ListCheckpointsRequest(session_id=session, include_total=True)),
    ]


async def _assert_no_transaction(url: str) -> None:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), SETTLED_SECONDS, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # waits in vain for a writer who has not ended
            other.execute("ROLLBACK")
            await _until(lambda: _is_copied(other))  # and this for a reader
        return
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(SETTLED_SECONDS):
            while await connection.fetchval(OPEN_TRANSACTIONS):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


def _is_copied(connection: sqlite3.Connection) -> bool:
    """Copy the log to its end. Not while the server is at that itself, which nobody waits for in here."""
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SETTLED_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
