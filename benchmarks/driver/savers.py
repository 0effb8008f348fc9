"""LangGraph's savers, which work in the process of the graph: this process is load and server in one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from benchmarks.driver.changing import Changing
from benchmarks.driver.job import Job, Measured
from benchmarks.driver.lockstitch import VERIFIED
from benchmarks.driver.window import measure_tasks
from benchmarks.text import Noise
from benchmarks.thread import Thread, load_latest
from benchmarks.wire.saves import MESSAGES

Change = Callable[[Thread], None]


async def save(job: Job) -> Measured:
    """Every task saves the next checkpoint of its thread; nothing of the state was there before."""
    noise = Noise(job.concurrency)

    def renew(thread: Thread) -> None:
        thread.start_anew([noise.take(job.state_bytes // MESSAGES).decode() for _ in range(MESSAGES)])

    return await _save(job, [renew] * job.concurrency)


async def save_changing(job: Job) -> Measured:
    """The same, with states that change a little at every step."""
    return await _save(job, [Changing(job.state_bytes, number).change for number in range(job.concurrency)])


async def load(job: Job) -> Measured:
    """Every task loads the latest checkpoint of one of the threads."""
    names = [job.sessions[number % len(job.sessions)] for number in range(job.concurrency)]
    async with opened(job.target) as saver:
        return await measure_tasks(job, [partial(load_latest, saver, name) for name in names])


async def _save(job: Job, changes: list[Change]) -> Measured:
    async with opened(job.target) as saver:
        threads = [Thread(saver, f"thread-{uuid4()}") for _ in changes]
        measured = await measure_tasks(job, map(_step, threads, changes))
        for thread in threads[:VERIFIED]:
            if (await thread.load()).checkpoint["channel_values"]["messages"] != thread.messages:
                raise LookupError("the saver does not have what it has acknowledged")
    return measured


def _step(thread: Thread, change: Change) -> Callable[[], Awaitable[None]]:
    """What a task repeats."""

    def step() -> Awaitable[None]:
        change(thread)
        return thread.save()

    return step


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Any]:
    """The saver for a store; for a server's address, Lockstitch's."""
    opener = _sqlite if url.startswith("sqlite:///") else _postgres if "://" in url else _lockstitch
    async with opener(url) as saver:
        yield saver


@asynccontextmanager
async def _sqlite(url: str) -> AsyncIterator[Any]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
        await saver.conn.execute("PRAGMA synchronous = FULL")  # SQLite's default; some builds have another
        await saver.setup()
        yield saver


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[Any]:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        yield saver


@asynccontextmanager
async def _lockstitch(target: str) -> AsyncIterator[Any]:
    from lockstitch.adapters.langgraph import LockstitchSaver

    async with LockstitchSaver(target) as saver:
        yield saver
