"""The Python client as it comes, and as an agent uses it: the state in its hands changes, and is saved."""

from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import lockstitch
from benchmarks.conversation import Conversation
from benchmarks.driver.changing import Changing
from benchmarks.driver.job import Job, Measured
from benchmarks.driver.lockstitch import VERIFIED
from benchmarks.driver.window import measure_tasks


async def save(job: Job) -> Measured:
    """Every task saves the next step of its session, all by one client."""
    sessions = [Conversation(f"session-{uuid4()}") for _ in range(job.concurrency)]
    async with lockstitch.AsyncClient(job.target) as client:
        steps = (_step(client, session, Changing(job.state_bytes, at)) for at, session in enumerate(sessions))
        measured = await measure_tasks(job, steps)
        for session in sessions[:VERIFIED]:
            if (await client.load_latest(session.checkpoint.session_id)).checkpoint != session.checkpoint:
                raise LookupError("the server does not have what it has acknowledged")
    return measured


async def load(job: Job) -> Measured:
    """Every task loads the latest checkpoint of one of the sessions."""
    names = [job.sessions[number % len(job.sessions)] for number in range(job.concurrency)]
    async with lockstitch.AsyncClient(job.target) as client:
        return await measure_tasks(job, [partial(client.load_latest, name) for name in names])


def _step(client: lockstitch.AsyncClient, session: Conversation, changing: Changing) -> Callable[[], Awaitable[object]]:
    """What a task repeats."""

    def step() -> Awaitable[object]:
        changing.change(session)
        return client.save(session.checkpoint)

    return step
