"""Whatever comes is worked on, whenever it comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine import batching_queue
from lockstitch_server.engine.batching_queue import SLICE, BatchingQueue, Bounds

BOUNDS = Bounds(queue_items=1000, queue_bytes=1000, batch_items=10, batch_bytes=10)


def batcher(batches: list[list[int]], max_in_flight: int, min_batch: int) -> BatchingQueue[int, int]:
    async def work(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        await asyncio.sleep(0)
        return items

    return BatchingQueue(work, lambda _: 1, BOUNDS, max_in_flight=max_in_flight, min_batch=min_batch)


@pytest.mark.parametrize(("max_in_flight", "min_batch"), [(1, 1), (1, 16), (2, 1), (2, 16), (8, 16)])
async def test_one_after_the_other(max_in_flight: int, min_batch: int) -> None:
    """The next comes in the very moment in which the last one is answered."""
    one = batcher([], max_in_flight, min_batch)
    async with asyncio.timeout(10):
        assert [await one.submit(number) for number in range(100)] == list(range(100))


@pytest.mark.parametrize(("max_in_flight", "min_batch"), [(1, 1), (1, 16), (2, 1), (2, 16), (8, 16)])
async def test_many_side_by_side(max_in_flight: int, min_batch: int) -> None:
    one = batcher([], max_in_flight, min_batch)

    async def caller(number: int) -> list[int]:
        return [await one.submit(number) for _ in range(20)]

    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(caller(number) for number in range(40)))
    assert answers == [[number] * 20 for number in range(40)]


async def test_few_items_do_not_begin_a_batch_beside_another() -> None:
    batches: list[list[int]] = []
    one = batcher(batches, max_in_flight=2, min_batch=5)
    first = asyncio.ensure_future(one.submit(0))
    while not batches:
        await asyncio.sleep(0)
    rest = [asyncio.ensure_future(one.submit(number)) for number in range(1, 4)]
    await asyncio.gather(first, *rest)
    assert batches == [[0], [1, 2, 3]]


async def test_a_batch_that_breaks_is_answered_and_the_next_one_is_done() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise RuntimeError("broken")
        return items

    one: BatchingQueue[int, int] = BatchingQueue(work, lambda _: 1, BOUNDS)
    async with asyncio.timeout(30):
        broken = await asyncio.gather(one.submit(1), one.submit(2), return_exceptions=True)
        assert await one.submit(3) == 3
    assert [isinstance(failure, Failure) and failure.reason for failure in broken] == [Reason.INTERNAL] * 2


class Waiter:
    """Waits for a result, and may break when it comes."""

    def __init__(self, *, breaks: bool) -> None:
        self.breaks = breaks
        self.results: list[object] = []

    def done(self) -> bool:
        return bool(self.results)

    def set_result(self, result: int) -> None:
        if self.breaks:
            raise RuntimeError("broken")
        self.results.append(result)

    def set_exception(self, failure: Failure) -> None:
        self.results.append(failure.reason)


async def test_a_result_that_cannot_be_taken_fails_alone() -> None:
    one = batcher([], 1, 1)
    waiters = [Waiter(breaks=number == 1) for number in range(3)]
    for number, waiter in enumerate(waiters):
        one.enqueue(number, waiter)
    async with asyncio.timeout(30):
        assert await one.submit(3) == 3
    assert [waiter.results for waiter in waiters] == [[0], [Reason.INTERNAL], [2]]


async def test_an_observer_that_breaks_does_not_stop_the_queue() -> None:
    class Breaks:
        def done(self, items: int, waited: float, seconds: float) -> None:
            raise RuntimeError("broken")

    async def work(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        return items

    one: BatchingQueue[int, int] = BatchingQueue(
        work, lambda _: 1, Bounds(1000, 1000, batch_items=1, batch_bytes=10), observer=Breaks()
    )
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(one.submit(number) for number in range(5))) == list(range(5))


class Turns:
    """Counts turns of the event loop, as another call would have them."""

    def __init__(self) -> None:
        self.count = 0

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._count())
        try:
            yield
        finally:
            task.cancel()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.count += 1


class Dated(Waiter):
    """Notes the turn in which its result comes."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(breaks=False)
        self._turns = turns
        self.at = 0

    def set_result(self, result: int) -> None:
        super().set_result(result)
        self.at = self._turns.count


async def test_other_calls_run_while_the_results_of_a_batch_are_delivered() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        return items

    one: BatchingQueue[int, int] = BatchingQueue(work, lambda _: 1, Bounds(1000, 1000, 1000, 1000))
    turns = Turns()
    waiters = [Dated(turns) for _ in range(8 * SLICE)]
    async with asyncio.timeout(30), turns.counting():
        for number, waiter in enumerate(waiters):
            one.enqueue(number, waiter)
        await one.close()
    assert [waiter.results for waiter in waiters] == [[number] for number in range(8 * SLICE)]
    assert waiters[-1].at - waiters[0].at >= 7


def gathering(batches: list[list[int]]) -> BatchingQueue[int, int]:
    async def work(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        return items

    return BatchingQueue(work, lambda _: 1, Bounds(1000, 1000, 1000, 1000), gathers=True)


async def test_a_batch_waits_for_items_while_the_loop_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching_queue, "GATHER_SECONDS", 60.0)
    batches: list[list[int]] = []
    one = gathering(batches)
    async with asyncio.timeout(50):
        submitted = [asyncio.ensure_future(one.submit(number)) for number in range(2)]
        for number in range(2, batching_queue.ENOUGH_ITEMS):
            await asyncio.sleep(0)
            end = time.monotonic() + 4 * batching_queue.IDLE_TURN_SECONDS
            while time.monotonic() < end:
                pass
            submitted.append(asyncio.ensure_future(one.submit(number)))
        await asyncio.gather(*submitted)
    assert batches == [list(range(batching_queue.ENOUGH_ITEMS))]


async def test_a_batch_does_not_wait_while_the_loop_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching_queue, "GATHER_SECONDS", 3600.0)
    batches: list[list[int]] = []
    one = gathering(batches)
    async with asyncio.timeout(30):
        await asyncio.gather(*(one.submit(number) for number in range(2)))
    assert batches == [[0, 1]]


async def test_an_item_that_is_alone_does_not_wait() -> None:
    batches: list[list[int]] = []
    one = gathering(batches)
    for number in range(3):
        submitted = asyncio.ensure_future(one.submit(number))
        for _ in range(3):  # the call, the task, and the turn for which the task waits
            await asyncio.sleep(0)
        assert batches[number:] == [[number]]
        await submitted
