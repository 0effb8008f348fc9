"""Groups take turns in a batcher's queue, and none is kept out by another."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.errors import Failure
from lockstitch_server.engine.batching_queue import BatchingQueue, Bounds
from lockstitch_server.engine.fair_queue import Entry, FairQueue

Item = tuple[str, int]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)) | st.none(), max_size=60))
def test_like_a_model(steps: list[Item | None]) -> None:
    """Each group is a list; whichever has waited longest for its turn is next. None takes out."""
    turns: FairQueue[Item] = FairQueue()
    model: dict[str, list[Item]] = {}
    for step in steps:
        if step is not None:
            turns.append(step[0], Entry(step, step[1], 10 * step[1]))
            model.setdefault(step[0], []).append(step)
        elif model:
            group = next(iter(model))
            assert turns.first().value == model[group][0]
            assert turns.popleft().value == model[group].pop(0)
            if rest := model.pop(group):
                model[group] = rest
        assert bool(turns) == bool(model)
        assert turns.items == sum(weight for line in model.values() for _, weight in line)
        assert turns.bytes == 10 * turns.items
        for group in "abc":
            assert turns.usage(group).items == sum(weight for _, weight in model.get(group, []))
            assert turns.groups_with(group) == len({*model, group})


class Held:
    """A batcher whose work waits until it is let go."""

    def __init__(self, bounds: Bounds) -> None:
        self.batches: list[list[Item]] = []
        self.go = asyncio.Event()
        self.batcher: BatchingQueue[Item, Item] = BatchingQueue(
            self._work, lambda item: item[1], bounds, group_of=lambda item: item[0]
        )
        self._waiting: list[asyncio.Future[Item]] = []

    async def _work(self, items: Sequence[Item]) -> Sequence[Item]:
        self.batches.append(list(items))
        await self.go.wait()
        return items

    def put(self, group: str, size: int = 1) -> None:
        future: asyncio.Future[Item] = asyncio.get_running_loop().create_future()
        self.batcher.enqueue((group, size), future)
        self._waiting.append(future)

    async def busy(self) -> None:
        """Wait until the first batch is being worked on."""
        while not self.batches:
            await asyncio.sleep(0)

    async def finish(self) -> None:
        self.go.set()
        await asyncio.gather(*self._waiting)
        await self.batcher.close()


async def test_who_comes_after_a_flood_is_in_the_next_batch() -> None:
    held = Held(Bounds(1000, 10_000, 10, 10_000))
    held.put("flood")
    await held.busy()
    for _ in range(500):
        held.put("flood")
    for _ in range(3):
        held.put("other")
    await held.finish()
    assert [group for group, _ in held.batches[1]].count("other") == 3


async def test_a_full_queue_has_room_for_who_is_not_in_it() -> None:
    held = Held(Bounds(100, 10_000, 10, 10_000))
    held.put("flood")
    await held.busy()
    for _ in range(100):
        held.put("flood")
    with pytest.raises(Failure) as caught:
        held.put("flood")
    assert caught.value.reason == "OVERLOADED"
    for _ in range(50):
        held.put("other")
    with pytest.raises(Failure):
        held.put("other")
    await held.finish()


@pytest.mark.parametrize(("bounds", "limit"), [((5, 0), 5), ((0, 5), 5)])
async def test_a_group_has_bounds_of_its_own(bounds: tuple[int, int], limit: int) -> None:
    held = Held(Bounds(100, 10_000, 10, 10_000, *bounds))
    held.put("flood")
    await held.busy()
    for _ in range(5):
        held.put("flood")
    with pytest.raises(Failure) as caught:
        held.put("flood")
    assert (caught.value.reason, caught.value.metadata) == ("RATE_LIMITED", {"limit": str(limit)})
    held.put("other")
    waits = asyncio.ensure_future(held.batcher.wait_for_capacity(1, 1, "flood"))
    await held.batcher.wait_for_capacity(1, 1, "other")
    assert not waits.done()
    await held.finish()
    await asyncio.wait_for(waits, 20)


async def test_one_that_is_larger_than_the_bound_of_its_group_is_taken_alone() -> None:
    held = Held(Bounds(100, 10_000, 10, 10_000, 0, 5))
    held.put("flood", 50)
    await held.finish()
    assert held.batches == [[("flood", 50)]]
