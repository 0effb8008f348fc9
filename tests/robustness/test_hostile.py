"""Callers who mean harm, or know no better: the server answers what can be answered, and serves the others."""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from lockstitch.v1.checkpoint_service_pb2 import SaveStreamResponse
from tests.robustness import mutations
from tests.robustness.faults import INTERNALS, process_of
from tests.robustness.workload import full_save
from tests.support.api import METHODS, grpc_api
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

REQUESTS = 10_000
WARM_UP = 2_000
AT_ONCE = 50
CALL_SECONDS = 60
MOST_GROWTH = 40 * 1024 * 1024
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000040000000000")
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as running:
        yield running


async def test_spoiled_requests(rng: random.Random, server: LockstitchServer) -> None:
    """No crash, no fault of the server, nothing that is not for callers, and no growth."""
    process = process_of(server)
    async with grpc.aio.insecure_channel(server.target) as channel:
        codes = await _send(channel, rng, WARM_UP)
        before = process.memory_info().rss
        codes += await _send(channel, rng, REQUESTS - WARM_UP)
        assert process.memory_info().rss - before < MOST_GROWTH
    assert not FAULTS & set(codes), codes
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > REQUESTS / 4
    assert codes[grpc.StatusCode.OK] > REQUESTS / 20
    assert "call_failed" not in server.log.read_text()
    assert "item_failed" not in server.log.read_text()
    async with grpc_api(server.target) as api:
        await api.save(full_save("after", 0))


async def _send(channel: grpc.aio.Channel, rng: random.Random, count: int) -> Counter[grpc.StatusCode]:
    names = [name for name in METHODS if name != "WatchSession"]  # which has no end
    codes: Counter[grpc.StatusCode] = Counter()

    async def send(seed: float) -> None:
        own = random.Random(seed)
        codes[await _call(channel, own.choice(names), own)] += 1

    for _ in range(0, count, AT_ONCE):
        await asyncio.gather(*(send(rng.random()) for _ in range(AT_ONCE)))
    return codes


async def _call(channel: Any, name: str, rng: random.Random) -> grpc.StatusCode:
    service = METHODS[name].containing_service
    assert service is not None
    path, data, metadata = f"/{service.full_name}/{name}", mutations.request(name, rng), mutations.metadata(rng)
    try:
        if METHODS[name].client_streaming:
            stream = channel.stream_stream(path)(_some(data, rng), metadata=metadata, timeout=CALL_SECONDS)
            return _worst([_code_within(answer) async for answer in stream])
        if METHODS[name].server_streaming:
            async for _ in channel.unary_stream(path)(data, metadata=metadata, timeout=CALL_SECONDS):
                pass
        else:
            await channel.unary_unary(path)(data, metadata=metadata, timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        told = f"{error.details()} {dict(error.trailing_metadata() or ())}"
        assert not INTERNALS.search(told), told
        # A stream that is refused while it is written to: grpc.aio on this side forgets what it ended with.
        if error.details() == "Internal error from Core":
            return grpc.StatusCode.CANCELLED
        return error.code()
    return grpc.StatusCode.OK


async def _some(data: bytes, rng: random.Random) -> AsyncIterator[bytes]:
    for _ in range(rng.randrange(4)):
        yield data


def _code_within(answer: bytes) -> grpc.StatusCode:
    response = SaveStreamResponse.FromString(answer)
    status = Status.FromString(response.error.SerializeToString())
    assert not INTERNALS.search(str(status)), status
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)


def _worst(codes: list[grpc.StatusCode]) -> grpc.StatusCode:
    return max(codes, key=lambda code: (code in FAULTS, code.value[0]), default=grpc.StatusCode.OK)


async def test_connections_that_say_nothing_or_next_to_nothing(server: LockstitchServer) -> None:
    """A thousand that are idle, and many that bring their first bytes one by one: others are served as before."""
    with _connections(server, 1000, PREFACE + SETTINGS), _connections(server, 200) as slow:
        async with grpc_api(server.target) as api:
            for step in range(20):
                for connection in slow:
                    connection.sendall(PREFACE[step : step + 1])
                await api.save(full_save("session", step))
    process = process_of(server)
    async with asyncio.timeout(CALL_SECONDS):
        while len(process.net_connections("tcp")) > 100:
            await asyncio.sleep(0.2)


async def test_what_is_no_http2(rng: random.Random, server: LockstitchServer) -> None:
    process = process_of(server)
    before = process.memory_info().rss
    for number in range(300):
        with closing(_connect(server)) as connection:
            connection.sendall((PREFACE + SETTINGS if number % 2 else b"") + rng.randbytes(rng.randrange(1, 5000)))
    async with grpc_api(server.target) as api:
        await api.save(full_save("session", 0))
    assert process.memory_info().rss - before < MOST_GROWTH


@contextmanager
def _connections(server: LockstitchServer, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(_connect(server))) for _ in range(count)]
        for connection in opened:
            connection.sendall(first)
        yield opened


def _connect(server: LockstitchServer) -> socket.socket:
    host, _, port = server.target.rpartition(":")
    return socket.create_connection((host, int(port)), 30)
