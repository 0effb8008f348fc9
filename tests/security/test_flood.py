"""A tenant that floods is held back, and hardly slows another; a full server still tells how it is."""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.security.callers import bearer, make_key
from tests.support.api import Api, ApiError, grpc_api
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # floods

ATTEMPTS = 4
ROUNDS = 5
SAVES = 30
PAUSE = 0.02
"""Between two saves: the victim stays well within its own share."""
LIMITS = ("tenants.calls_per_second=100", "tenants.burst_calls=20", "tenants.max_wait_seconds=1")


@contextmanager
def flooding(target: str, key: str) -> Iterator[list[int]]:
    """Another process floods the server meanwhile. Gives, in the end, how many calls were let in, and how many not."""
    counts: list[int] = []
    command = [sys.executable, "-m", "tests.security.flood", target, key]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "flooding\n"
        try:
            yield counts
        finally:
            assert process.stdin is not None
            process.stdin.close()
            counts.extend(map(int, process.stdout.read().split()))


async def latencies(api: Api, step: int) -> list[float]:
    """How long saves take, in seconds."""
    loop, found = asyncio.get_running_loop(), []
    request = pb.SaveRequest()
    request.checkpoint.session_id = "victim"
    for number in range(SAVES):
        request.checkpoint.step = step + number
        began = loop.time()
        await api.save(request)
        found.append(loop.time() - began)
        await asyncio.sleep(PAUSE)
    return found


async def slowdown(server: LockstitchServer, victim: str, flooder: str) -> float:
    """How many times longer a save takes while another tenant floods: the median, in turns with and without."""
    alone, flooded = [], []
    async with grpc_api(server.target, bearer(victim)) as api:
        for number in range(ROUNDS):
            alone += await latencies(api, 2 * number * SAVES)
            with flooding(server.target, flooder):
                await asyncio.sleep(0.5)
                flooded += await latencies(api, (2 * number + 1) * SAVES)
    return statistics.median(flooded) / statistics.median(alone)


@pytest.mark.timeout(400)
async def test_a_flood_does_not_slow_another_beyond_twice(tmp_path: Path) -> None:
    """Other things on the machine may slow either: several attempts, of which one must show it."""
    keys = tmp_path / "keys.json"
    victim, flooder = make_key(keys, "victim", ["acme"]), make_key(keys, "flooder", ["globex"])
    arguments = [word for setting in (*LIMITS, f"auth.keys={keys}") for word in ("--set", setting)]
    found = []
    with LockstitchServer(f"sqlite:///{tmp_path}/lockstitch.db", arguments) as server:
        for _ in range(ATTEMPTS):
            found.append(await slowdown(server, victim, flooder))
            if found[-1] <= 2:
                break
        with flooding(server.target, flooder) as counts:
            await asyncio.sleep(3)
    print("slowdown:", *(f"{ratio:.2f}" for ratio in found), "let in, refused:", *counts)
    assert all(counts), "it is let in as far as it may, and refused beyond"
    assert min(found) <= 2


@pytest.mark.usefixtures("both_doors")
async def test_a_full_server_refuses_calls_and_answers_health_checks(tmp_path: Path) -> None:
    with LockstitchServer("memory://", ["--set", "limits.max_calls=2"]) as server:
        async with grpc_api(server.target) as api:
            done = asyncio.Event()
            streams = [api.save_stream(_one_and_wait(done)) for _ in range(2)]
            for stream in streams:
                await anext(stream)
            with pytest.raises(ApiError) as caught:
                await api.load_latest(pb.LoadLatestRequest(session_id="s"))
            assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
            assert caught.value.detail("RetryInfo").retry_delay.ToMilliseconds() > 0
            async with grpc.aio.insecure_channel(server.target) as channel:
                check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                    "/grpc.health.v1.Health/Check"
                )
                assert await check(b"", timeout=30) == b"\x08\x01"
            done.set()
            for stream in streams:
                assert not [answer async for answer in stream]
            await api.load_latest(pb.LoadLatestRequest(session_id="s"))


async def _one_and_wait(done: asyncio.Event) -> AsyncIterator[bytes]:
    item = pb.SaveStreamRequest(request_id=1)
    item.save.checkpoint.session_id = "s"
    yield item.SerializeToString()
    await done.wait()
