"""Many saves at the same time, and whether all of them are there."""

import asyncio
from collections.abc import Callable, Iterable

from lockstitch import AsyncClient, RetryPolicy, Saved
from tests.client.examples import conversation
from tests.client.streaming import Streaming

QUICK = RetryPolicy(initial_backoff=0.01, max_backoff=0.05)
GENEROUS = 60.0
SESSIONS = [f"s{number}" for number in range(20)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GENEROUS):
        while not condition():
            await asyncio.sleep(0.01)


async def save_all(client: AsyncClient, sessions: Iterable[str] = SESSIONS, steps: int = 3) -> list[Saved]:
    """Save these steps of each session, all at the same time."""
    saves = (client.save(conversation(session, step)) for step in range(steps) for session in sessions)
    return await asyncio.gather(*saves)


def assert_stored(server: Streaming, sessions: Iterable[str] = SESSIONS, steps: int = 3) -> None:
    """Everything is there as it was given, and nothing else."""
    expected = {
        (session, "", f"{step:020d}"): conversation(session, step) for session in sessions for step in range(steps)
    }
    assert {key: checkpoint for key, (checkpoint, _) in server.stored.checkpoints.items()} == expected
