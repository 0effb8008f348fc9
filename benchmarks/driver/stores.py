"""What fills stores for what is measured afterwards, and the lists of what is in them."""

import asyncio
import statistics
from collections.abc import Iterator

from benchmarks.conversation import Conversation
from benchmarks.driver.growth import connected, seconds, turns
from benchmarks.driver.job import Job
from benchmarks.driver.lockstitch import SAVE_STREAM, SERVICE, item
from benchmarks.driver.savers import opened
from benchmarks.text import Noise
from benchmarks.thread import Thread
from benchmarks.wire.http2 import Connection
from benchmarks.wire.saves import Saves
from lockstitch.v1.checkpoint_service_pb2 import (
    ListSessionsRequest,
    ListSessionsResponse,
    SaveStreamResponse,
)

LIST_SESSIONS = f"{SERVICE}/ListSessions"
IN_FLIGHT = 64
PAGE_SIZES = (50, 1000)


async def fill_turns(job: Job) -> None:
    """Sessions of `turns` turns, saved by deltas."""
    async with connected(job.target) as connection:
        for name in job.sessions:
            session, saves = Conversation(name), []
            for content in turns(name, job.turns[-1], job.state_bytes):
                session.say(content)
                saves.append(session.delta_save())
            await stream_all(connection, iter(saves))


async def fill_threads(job: Job) -> None:
    """Threads of `turns` turns, of which only the last is saved: what lies before it makes no load slower."""
    async with opened(job.target) as saver:
        for name in job.sessions:
            thread = Thread(saver, name)
            for content in turns(name, job.turns[-1], job.state_bytes):
                thread.say(content)
            await thread.save()


async def fill_sessions(job: Job) -> None:
    """Many small sessions, saved in turn."""
    noise = Noise("sessions")
    known = [Saves(name, job.state_bytes, noise) for name in job.sessions]
    async with connected(job.target) as connection:
        await stream_all(connection, (known[number % len(known)].next() for number in range(job.saves)))


async def list_sessions(job: Job) -> list[dict[str, float]]:
    """Every page of the list of sessions, newest first."""
    async with connected(job.target) as connection:
        return [await _walk(connection, size) for size in PAGE_SIZES]


async def stream_all(connection: Connection, saves: Iterator[bytes]) -> None:
    """Send all these saves on one stream, a few at a time."""
    waiting, done = 0, asyncio.get_running_loop().create_future()

    def send_next() -> bool:
        if (save := next(saves, None)) is None:
            return False
        stream.send(item(1, save))
        return True

    def answered(answer: bytes) -> None:
        nonlocal waiting
        result = SaveStreamResponse.FromString(answer)
        assert result.HasField("saved"), result
        waiting += send_next() - 1
        if not waiting:
            done.set_result(None)

    stream = connection.stream(SAVE_STREAM, answered)
    for _ in range(IN_FLIGHT):
        waiting += send_next()
    connection.flush()
    await done


async def _walk(connection: Connection, page_size: int) -> dict[str, float]:
    took: list[float] = []
    token, listed = "", 0
    while token or not took:
        request = ListSessionsRequest(page_size=page_size, page_token=token).SerializeToString()
        answer = asyncio.ensure_future(connection.call(LIST_SESSIONS, request))
        took.append(await seconds(answer))
        page = ListSessionsResponse.FromString(answer.result())
        token, listed = page.next_page_token, listed + len(page.sessions)
    took.sort()
    return {
        "page_size": page_size,
        "listed": listed,
        "pages": len(took),
        "p50": statistics.median(took),
        "p99": took[len(took) * 99 // 100],
    }
