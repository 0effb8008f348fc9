"""SaveStream by itself: when it takes a request in."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.save_stream import FlowLimits, PendingResponse, SaveStream
from lockstitch_server.rpc.stream_batches import TAKES_BATCHES, Chunk


class Queue:
    """Takes requests in, and says when it has room."""

    def __init__(self) -> None:
        self.pending: list[PendingResponse] = []
        self.has_room = asyncio.Event()
        self.has_room.set()

    def begin(self, chunk: Chunk, pending: PendingResponse) -> None:
        assert self.has_room.is_set(), "it would be refused"
        self.pending.append(pending)

    async def room(self, size: int, count: int) -> None:
        await self.has_room.wait()


async def test_room_that_others_have_taken_meanwhile_is_waited_for() -> None:
    queue = Queue()
    stream = SaveStream(queue.begin, queue.room, FlowLimits(1, 1000))
    answers = stream.run(_two_requests(), asyncio.get_running_loop().create_future())
    first = asyncio.ensure_future(anext(answers))
    await _settle()
    assert len(queue.pending) == 1
    queue.has_room.clear()  # while the second request waits for the first one's answer
    queue.pending[0].answer(b"first")
    assert await first == TAKES_BATCHES + b"first"
    await _settle()
    assert len(queue.pending) == 1
    queue.has_room.set()
    await _settle()
    queue.pending[1].answer(b"second")
    assert [answer async for answer in answers] == [b"second"]


class Breaks:
    """Hears of saves, and breaks when they have been carried out: at once, or later."""

    def __init__(self, *, later: bool) -> None:
        self._later = later

    def begin(self, chunk: Chunk) -> None:
        pass

    def answered(self, chunk: Chunk, answer: bytes) -> "asyncio.Future[bytes]":
        if not self._later:
            raise RuntimeError("broken")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.set_exception(RuntimeError("broken"))
        return future


@pytest.mark.parametrize("later", [False, True])
async def test_an_observer_that_breaks_ends_the_call(later: bool) -> None:
    """Nobody waits for ever for a response that the observer holds back."""
    queue = Queue()
    stream = SaveStream(queue.begin, queue.room, FlowLimits(2, 1000), Breaks(later=later))
    answers = stream.run(_two_requests(), asyncio.get_running_loop().create_future())
    first = asyncio.ensure_future(anext(answers))
    await _settle()
    queue.pending[0].answer(b"first")
    async with asyncio.timeout(30):
        with pytest.raises(Failure) as failed:
            await first
    assert failed.value.reason is Reason.INTERNAL
    assert queue.pending[1].done()


async def _two_requests() -> AsyncIterator[bytes]:
    yield b"1"
    yield b"2"


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
