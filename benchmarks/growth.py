"""What a session of 1,000 steps takes in a store, and whether its length makes loading slower."""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import grpc

from benchmarks.growing import STEPS, GrowingSession
from benchmarks.limits import LIMITS
from benchmarks.servers import lockstitch, stores
from benchmarks.stored import stored_bytes
from benchmarks.table import table
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveRequest
from lockstitch.v1.checkpoint_service_pb2_grpc import CheckpointServiceStub

WAYS: dict[str, Callable[[GrowingSession], SaveRequest]] = {
    "full": GrowingSession.full_save,
    "delta": GrowingSession.delta_save,
}
LOADS = 100
HEAD = (
    f"{STEPS:,} steps",
    "stored KB",
    "limit KB",
    "final state KB",
    "ratio",
    "bytes a step over the state",
    "load ms",
    "of one step, ms",
    "ratio",
)


def run(repeat: int) -> str:
    """Measure every backend with full and with delta saves. Gives a table."""
    rows = []
    for backend in LIMITS:
        for way, make in WAYS.items():
            with stores(backend) as urls, lockstitch(urls[backend]) as target:
                rows.append(asyncio.run(_measure(backend, way, make, urls[backend], target, repeat)))
    return table(HEAD, rows)


async def _measure(
    backend: str, way: str, make: Callable[[GrowingSession], SaveRequest], url: str, target: str, repeat: int
) -> tuple[str, ...]:
    session = GrowingSession("long")
    async with grpc.aio.insecure_channel(target, [("grpc.max_receive_message_length", -1)]) as channel:
        stub: Any = CheckpointServiceStub(channel)
        for _ in range(STEPS):
            session.advance()
            await stub.Save(make(session))
        stored = await stored_bytes(url)
        once = session.full_save()
        once.checkpoint.session_id = "short"
        await stub.Save(once)
        long, short = await _load_in_turns(stub, repeat * LOADS)
    state = session.state_bytes
    limit = LIMITS[backend].bytes(state, STEPS)
    sizes = (f"{stored / 1000:,.0f}", f"{limit / 1000:,.0f}", f"{state / 1000:,.0f}", f"{stored / state:.2f}")
    times = (f"{long * 1000:.2f}", f"{short * 1000:.2f}", f"{long / short:.2f}")
    return (f"{backend}, {way} saves", *sizes, f"{(stored - state) / STEPS:.0f}", *times)


async def _load_in_turns(stub: Any, times: int) -> tuple[float, float]:
    """Median seconds of loading the long session, and the same state saved in one step."""
    took: dict[str, list[float]] = {"long": [], "short": []}
    for _ in range(times):
        for name, seconds in took.items():
            start = time.perf_counter()
            await stub.LoadLatest(LoadLatestRequest(session_id=name))
            seconds.append(time.perf_counter() - start)
    return statistics.median(took["long"]), statistics.median(took["short"])
