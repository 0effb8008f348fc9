"""A tenant that floods: many calls at once, again and again, whatever it is told. `python -m tests.security.flood`."""

import asyncio
import sys
from typing import Any

import grpc

from lockstitch.v1 import checkpoint_service_pb2 as pb

CALLERS = 300


async def flood(target: str, key: str) -> None:
    """Go on until the end of standard input; then tell how many calls were let in, and how many were not."""
    counts = [0, 0]
    async with grpc.aio.insecure_channel(target) as channel:
        callers = [asyncio.create_task(call_on(channel, number, key, counts)) for number in range(CALLERS)]
        print("flooding", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    print(*counts)


async def call_on(channel: grpc.aio.Channel, number: int, key: str, counts: list[int]) -> None:
    save: Any = channel.unary_unary("/lockstitch.v1.CheckpointService/Save")
    request = pb.SaveRequest()
    request.checkpoint.session_id = f"flood-{number}"
    request.checkpoint.state.messages.items.add(role="user", content="x" * 2000)
    while True:
        request.checkpoint.step += 1
        try:
            await save(request.SerializeToString(), metadata=(("authorization", f"Bearer {key}"),), timeout=30)
            counts[0] += 1
        except grpc.aio.AioRpcError:
            counts[1] += 1


if __name__ == "__main__":
    asyncio.run(flood(*sys.argv[1:]))
