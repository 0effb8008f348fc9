"""Callers without credentials: what they can make the server do is bounded, and others are served meanwhile."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import lockstitch
from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, TypedBlob
from tests.security.attackers import (
    CANCEL,
    END_HEADERS,
    HEADERS,
    MIB,
    RST_STREAM,
    Growth,
    call_headers,
    connection,
    frame,
)
from tests.security.callers import bearer, make_key
from tests.support.server import DOORS, LockstitchServer

LOAD = "/lockstitch.v1.CheckpointService/LoadLatest"
SAVE = "/lockstitch.v1.CheckpointService/Save"
SAVE_STREAM = "/lockstitch.v1.CheckpointService/SaveStream"
WATCH_SESSION = "/lockstitch.v1.SessionService/WatchSession"
CHECK = "/grpc.health.v1.Health/Check"
RESETS = 60_000
"""Of one connection; without a limit they take 700 MB."""
MOST_IN_ALL = 600 * MIB
"""Each of the 8 servers that share the port lets 4000 calls wait, of 17 KB each: 540 MB if the connections reach all 8.
The kernel spreads them by chance, so a run often reaches fewer."""
TOGETHER = 100


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def key(keys: Path) -> str:
    return make_key(keys, "runner", ["acme"])


@pytest.fixture(scope="module", params=DOORS)
def server(request: pytest.FixtureRequest, key: str, keys: Path) -> Iterator[LockstitchServer]:
    """A server that asks who calls."""
    with LockstitchServer(arguments=["--set", f"auth.keys={keys}"], door=request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("connections", "most"), [(1, 100 * MIB), pytest.param(20, MOST_IN_ALL, marks=pytest.mark.slow)]
)
async def test_calls_that_are_opened_and_reset_at_once(
    server: LockstitchServer, key: str, connections: int, most: int
) -> None:
    """HTTP/2 rapid reset: the memory it takes is bounded, and a call after it is answered."""
    headers = call_headers(LOAD)
    with ExitStack() as stack:
        growth = stack.enter_context(Growth(server))
        attackers = [stack.enter_context(connection(server)) for _ in range(connections)]
        for first in range(1, 2 * RESETS, 2 * TOGETHER):
            streams = range(first, first + 2 * TOGETHER, 2)
            opened = b"".join(frame(HEADERS, END_HEADERS, each, headers) + _reset(each) for each in streams)
            for attacker in attackers:
                with contextlib.suppress(ConnectionError):  # the HTTP door closes the connection
                    attacker.sendall(opened)
        async with lockstitch.AsyncClient(server.target, key=key) as client:
            assert (await client.load_latest("session")).checkpoint is None
    assert growth.most < most


@pytest.mark.slow
@pytest.mark.usefixtures("both_doors")
async def test_calls_beyond_those_of_a_connection_are_answered_too() -> None:
    """They wait in the client, which repeats the few that the server refuses."""
    with LockstitchServer("memory://", ["--set", "limits.max_connection_calls=10"]) as server:
        async with lockstitch.AsyncClient(server.target) as client:
            loaded = await asyncio.gather(*(client.load_latest(f"session-{number}") for number in range(500)))
    assert all(each.checkpoint is None for each in loaded)


def _reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, CANCEL)


@pytest.mark.parametrize("path", [LOAD, SAVE_STREAM, WATCH_SESSION, CHECK])
async def test_packed_messages_of_strangers_are_not_unpacked(server: LockstitchServer, path: str) -> None:
    """Calls of 100 KB each would take 100 MB each: without credentials they are refused before they are read."""
    with Growth(server) as growth:
        async with grpc.aio.insecure_channel(server.target) as channel:
            codes = await asyncio.gather(*(_send_zeros(channel, path) for _ in range(2)))
    refused = grpc.StatusCode.RESOURCE_EXHAUSTED if path == CHECK else grpc.StatusCode.UNAUTHENTICATED
    assert codes == [refused] * 2
    assert growth.most < 60 * MIB


async def test_unread_messages_of_strangers_take_no_memory(server: LockstitchServer) -> None:
    """What they send although they are refused is dropped."""
    with Growth(server) as growth:
        async with grpc.aio.insecure_channel(server.target) as channel:
            load: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(LOAD)
            calls = (load(bytes(20 * MIB), timeout=60) for _ in range(10))
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(answer, grpc.aio.AioRpcError)
                assert answer.code() == grpc.StatusCode.UNAUTHENTICATED
    assert growth.most < 60 * MIB


async def test_watching_health_is_limited(server: LockstitchServer) -> None:
    """For one connection and for all; what is let in goes on, Check goes on, and what ends makes room."""
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(_own_channel(server)) for _ in range(2)]
        watches = [await _watch(channel) for channel in channels for _ in range(10)]
        refused = [each for each in watches if each is None]
        assert len(refused) == 4
        assert await health_pb2_grpc.HealthStub(channels[0]).Check(health_pb2.HealthCheckRequest(), timeout=30)
        for each in watches:
            if each is not None:
                each.cancel()
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while await _watch(channels[0]) is None:
                await asyncio.sleep(0.05)


async def test_packed_messages_of_callers_who_are_known(server: LockstitchServer, key: str) -> None:
    """They are read, up to the limit; beyond it, and where they are no gzip, the error says so."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        save: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/lockstitch.v1.CheckpointService/Save"
        )
        request = pb.SaveRequest(checkpoint=Checkpoint(session_id="s", header=TypedBlob(data=b"x" * 100_000)))
        shown = bearer(key)
        await save(request.SerializeToString(), metadata=shown, compression=grpc.Compression.Gzip, timeout=30)
        load: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(LOAD)
        asked = pb.LoadLatestRequest(session_id="s").SerializeToString()
        answer = await load(asked, metadata=shown, compression=grpc.Compression.Gzip, timeout=30)
        loaded = pb.LoadLatestResponse.FromString(answer)
        assert loaded.checkpoint.header == request.checkpoint.header
        with pytest.raises(grpc.aio.AioRpcError, match="max_query_bytes"):
            await load(bytes(100 * MIB), metadata=shown, compression=grpc.Compression.Gzip, timeout=60)
        with pytest.raises(grpc.aio.AioRpcError, match="max_message_bytes"):
            await save(bytes(100 * MIB), metadata=shown, compression=grpc.Compression.Gzip, timeout=60)
        with pytest.raises(grpc.aio.AioRpcError, match="not as gzip has it"):
            await load(b"\x1f\x8b nothing", metadata=shown, timeout=30)
        with pytest.raises(grpc.aio.AioRpcError, match="deflate"):
            await load(asked * 50, metadata=shown, compression=grpc.Compression.Deflate, timeout=30)


@pytest.mark.slow
async def test_packed_messages_of_callers_who_are_known_are_unpacked_two_at_a_time(
    server: LockstitchServer, key: str
) -> None:
    """8 at once would take 800 MB."""
    zeros = bytes(100 * MIB)
    with Growth(server) as growth:
        async with grpc.aio.insecure_channel(server.target) as channel:
            codes = await asyncio.gather(*(_send(channel, SAVE, zeros, key, grpc.Compression.Gzip) for _ in range(8)))
    assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 8
    assert growth.most < 500 * MIB


async def _send_zeros(channel: grpc.aio.Channel, path: str) -> grpc.StatusCode:
    return await _send(channel, path, bytes(100 * MIB), compression=grpc.Compression.Gzip)


async def _send(
    channel: grpc.aio.Channel, path: str, data: bytes, key: str = "", compression: grpc.Compression | None = None
) -> grpc.StatusCode:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        await call(data, compression=compression, metadata=bearer(key) if key else None, timeout=60)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def _watch(channel: grpc.aio.Channel) -> Any:
    """A Watch call that has told a status; None: it is refused."""
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    try:
        await call.read()
    except grpc.aio.AioRpcError:
        return None
    return call


def _own_channel(server: LockstitchServer) -> grpc.aio.Channel:
    """A channel with a connection of its own."""
    return grpc.aio.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)])
