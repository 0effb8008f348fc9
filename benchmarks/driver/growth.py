"""One session that grows, turn by turn: what it takes in the store, and how long saving and loading take by then."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from time import perf_counter

from benchmarks.conversation import Conversation
from benchmarks.driver.job import Job
from benchmarks.driver.lockstitch import LOAD_LATEST, SAVE
from benchmarks.driver.savers import opened
from benchmarks.stored import stored_bytes, vacuum
from benchmarks.text import Text
from benchmarks.thread import Thread
from benchmarks.wire.http2 import Connection, connect
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest

TURN_BYTES = 1_100
SAVES, LOADS = 10, 20
"""What is said of a length is the median of this many saves before it and loads at it."""
SHORT_TURNS = 10
SETTLE_SECONDS = 2.0

Figures = dict[str, float]


async def lockstitch(job: Job) -> list[Figures]:
    """A session of Lockstitch, saved in full or by deltas."""
    session = Conversation("growth")

    async with connected(job.target) as connection:

        async def save(content: str) -> float:
            session.say(content)
            request = session.delta_save() if job.delta else session.full_save()
            return await seconds(connection.call(SAVE, request))

        async def load() -> float:
            return await seconds(connection.call(LOAD_LATEST, latest("growth")))

        return [
            figures | {"stored": await stored_bytes(job.url), "state": session.checkpoint.state.ByteSize()}
            async for figures in _grow(job, save, load)
        ]


async def settled(job: Job) -> Figures:
    """The session that `lockstitch` has left, once its rows are merged and the database is vacuumed."""
    await asyncio.sleep(SETTLE_SECONDS)
    await vacuum(job.url)
    async with connected(job.target) as connection:
        loads = [await seconds(connection.call(LOAD_LATEST, latest("growth"))) for _ in range(LOADS)]
    return {"stored": await stored_bytes(job.url), "load": statistics.median(loads)}


async def saver(job: Job) -> list[Figures]:
    """The same conversation in a thread of LangGraph."""
    async with opened(job.target) as store:
        thread = Thread(store, "growth")

        async def save(content: str) -> float:
            thread.say(content)
            return await seconds(thread.save())

        async def load() -> float:
            return await seconds(thread.load())

        return [
            figures | {"stored": await stored_bytes(job.target, "public")} async for figures in _grow(job, save, load)
        ]


async def compare_lengths(job: Job) -> Figures:
    """Delta saves at the end of a long session against those of short ones, and its load against that of the same
    state saved at once; in turns, so that both meet the same conditions."""
    text = Text("lengths")
    async with connected(job.target) as connection:
        long = await _conversation(connection, "long", text, job.turns[-1])
        saves: list[tuple[float, float]] = []
        for number in range(job.saves):
            short = await _conversation(connection, f"short-{number}", text, SHORT_TURNS - 1)
            saves.append((await _say(connection, long, text), await _say(connection, short, text)))
        long.checkpoint.session_id = "once"
        await connection.call(SAVE, long.full_save())
        loads = [
            [await seconds(connection.call(LOAD_LATEST, latest(name))) for name in ("long", "once")]
            for _ in range(job.saves)
        ]
    save_long, save_short = map(statistics.median, zip(*saves, strict=True))
    load_long, load_once = map(statistics.median, zip(*loads, strict=True))
    return {"save_long": save_long, "save_short": save_short, "load_long": load_long, "load_once": load_once}


@asynccontextmanager
async def connected(target: str) -> AsyncIterator[Connection]:
    """A connection for one call after another."""
    task = asyncio.current_task()
    errors: list[Exception] = []

    def failed(error: Exception) -> None:
        errors.append(error)
        assert task is not None
        task.cancel()

    connection = await connect(target, failed)
    try:
        yield connection
    except asyncio.CancelledError:
        if errors:
            raise errors[0] from None
        raise
    finally:
        connection.close()


async def seconds(awaited: Awaitable[object]) -> float:
    """How long it takes."""
    begin = perf_counter()
    await awaited
    return perf_counter() - begin


def latest(session_id: str) -> bytes:
    """A LoadLatestRequest."""
    return LoadLatestRequest(session_id=session_id).SerializeToString()


def turns(seed: object, count: int, size: int = TURN_BYTES) -> Iterator[str]:
    """The messages of this many turns."""
    text = Text(seed)
    return (text.take(size) for _ in range(count))


async def _grow(
    job: Job, save: Callable[[str], Awaitable[float]], load: Callable[[], Awaitable[float]]
) -> AsyncIterator[Figures]:
    took: list[float] = []
    for content in turns("growth", job.turns[-1]):
        took.append(await save(content))
        if len(took) in job.turns:
            recent = took[-min(SAVES, len(took) // 2) :]
            loads = [await load() for _ in range(LOADS)]
            yield {"turns": len(took), "save": statistics.median(recent), "load": statistics.median(loads)}


async def _conversation(connection: Connection, name: str, text: Text, count: int) -> Conversation:
    session = Conversation(name)
    for _ in range(count):
        await _say(connection, session, text)
    return session


async def _say(connection: Connection, session: Conversation, text: Text) -> float:
    session.say(text.take(TURN_BYTES))
    return await seconds(connection.call(SAVE, session.delta_save()))
