"""Load from a process of its own: `python -m benchmarks.load ADDRESS CONCURRENCY SECONDS` prints what it measured.

Each of the concurrent workers has a session, and saves its next step as soon as the last one is acknowledged.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any
from uuid import uuid4

import grpc
import uvloop

from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    ExtrasChannel,
    Message,
    MessagesChannel,
    NodeKind,
    VersionedState,
)
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest

METHOD = "/lockstitch.v1.CheckpointService/Save"
STATE_BYTES = 2048
WARM_UP_SECONDS = 0.5


def request(session: str, step: int, noise: random.Random) -> bytes:
    """A save of a 2 KB state, of which nothing has been there before."""
    said = [Message(role="assistant", content=noise.randbytes(STATE_BYTES // 8).hex()) for _ in range(4)]
    checkpoint = Checkpoint(
        session_id=session,
        step=step,
        state=VersionedState(
            messages=MessagesChannel(version=step + 1, items=said),
            extra=ExtrasChannel(version=step + 1, entries={"step": str(step)}),
        ),
        frontier=[NodeKind(custom="act")],
        ran_nodes=[NodeKind(custom="plan")],
        updated_channels=["messages", "extra"],
        concurrency_limit=8,
    )
    checkpoint.created_at.GetCurrentTime()
    return SaveRequest(checkpoint=checkpoint).SerializeToString()


async def worker(channel: grpc.aio.Channel, number: int, until: float) -> list[tuple[float, float]]:
    """Save until then. Gives the start and the duration of each save."""
    save: Any = channel.unary_unary(METHOD)
    session, noise, done = f"session-{uuid4()}", random.Random(number), []
    step = 0
    while (start := time.perf_counter()) < until:
        await save(request(session, step, noise))
        done.append((start, time.perf_counter() - start))
        step += 1
    return done


async def measure(target: str, concurrency: int, seconds: float) -> dict[str, float]:
    begin = time.perf_counter() + WARM_UP_SECONDS
    async with grpc.aio.insecure_channel(target) as channel:
        workers = (worker(channel, number, begin + seconds) for number in range(concurrency))
        finished = await asyncio.gather(*workers)
    took = sorted(duration for done in finished for start, duration in done if start >= begin)
    return {"rate": len(took) / seconds, "p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
