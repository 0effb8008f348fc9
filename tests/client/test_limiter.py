"""Room for so many saves: in turn, within the bounds, and nobody waits in vain."""

import asyncio

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch import AsyncClient, Cancelled, DeadlineExceeded, InFlightPolicy, Unavailable
from lockstitch._limiter import SaveLimiter
from tests.client.examples import conversation
from tests.support.server import LockstitchServer

ENDLESS = 1000.0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_others_wait_in_turn() -> None:
    room, came = SaveLimiter(InFlightPolicy(2, 100)), list[int]()

    async def enter(number: int) -> None:
        await room.enter(1, ENDLESS)
        came.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(5)]
    await settle()
    assert came == [0, 1]
    for expected in ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        room.leave(1)
        await settle()
        assert came == expected
    await asyncio.gather(*tasks)


async def test_nobody_overtakes_one_who_is_called_in() -> None:
    room, came = SaveLimiter(InFlightPolicy(1, 100)), list[str]()
    await room.enter(1, ENDLESS)

    async def enter(name: str) -> None:
        await room.enter(1, ENDLESS)
        came.append(name)
        room.leave(1)

    waiting = asyncio.create_task(enter("first"))
    await settle()
    room.leave(1)  # which calls in the first; it has not come yet
    await asyncio.gather(waiting, enter("second"))
    assert came == ["first", "second"]


async def test_one_may_always_whatever_its_size() -> None:
    room = SaveLimiter(InFlightPolicy(10, 100))
    await room.enter(1000, ENDLESS)
    assert not room.is_open()
    with pytest.raises(DeadlineExceeded):
        await room.enter(1, 0.01)
    room.leave(1000)
    assert room.is_open()


async def test_those_who_wait_are_sent_away_at_the_end() -> None:
    room = SaveLimiter(InFlightPolicy(1, 100))
    await room.enter(1, ENDLESS)
    waiting = asyncio.create_task(room.enter(1, ENDLESS))
    await settle()
    room.close()
    with pytest.raises(Cancelled):
        await waiting


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel", "tick"]), st.integers(0, 12)), max_size=40))
def test_whatever_happens_the_bounds_hold_and_all_get_in(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_run(steps))


async def _run(steps: list[tuple[str, int]]) -> None:
    room, inside, tasks = SaveLimiter(InFlightPolicy(3, 10)), list[int](), list["asyncio.Task[None]"]()

    async def enter(size: int) -> None:
        await room.enter(size, ENDLESS)
        inside.append(size)

    for step, number in steps:
        if step == "enter":
            tasks.append(asyncio.create_task(enter(number)))
        elif step == "leave" and inside:
            room.leave(inside.pop(number % len(inside)))
        elif step == "cancel" and tasks:
            tasks[number % len(tasks)].cancel()
        elif step == "tick":
            await settle()
        assert len(inside) <= 3
        assert sum(inside) <= 10 or len(inside) == 1
    while inside or not all(task.done() for task in tasks):
        while inside:
            room.leave(inside.pop())
        await settle()
    assert (room.saves, room.is_open()) == (0, True)


@pytest.mark.parametrize("bounds", [{"max_saves": 0}, {"max_bytes": 0}])
def test_a_policy_must_make_sense(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        InFlightPolicy(**bounds)


async def test_the_bounds_of_a_client_can_be_set(own_server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(own_server.target, in_flight=InFlightPolicy(max_saves=2)) as client:
        await client.save(conversation(session_id, 0))
        own_server.freeze()
        saves = [asyncio.create_task(client.save(conversation(f"{session_id}-{n}", 0))) for n in range(3)]
        await settle()
        with pytest.raises(DeadlineExceeded, match="too many other saves"):
            await client.save(conversation(session_id, 1), timeout=0.2)
        own_server.thaw()
        await asyncio.gather(*saves)


@pytest.mark.slow
async def test_saves_that_time_out_leave_no_memory_behind(own_server: LockstitchServer, session_id: str) -> None:
    """Each round has 13 MB. A client that kept their bytes would grow by 130 MB."""
    process, text = psutil.Process(), "x" * 200_000
    async with AsyncClient(own_server.target) as client:
        await client.save(conversation(session_id, 0))
        own_server.freeze()
        sizes = []
        for turn in range(14):
            saves = (client.save(conversation(f"{session_id}-{n}", 0, f"{turn}{text}"), timeout=0.5) for n in range(64))
            results = await asyncio.gather(*saves, return_exceptions=True)
            assert all(isinstance(result, DeadlineExceeded | Unavailable) for result in results)
            sizes.append(process.memory_info().rss)
        own_server.thaw()
        assert sizes[-1] - sizes[3] < 50_000_000, [size // 1_000_000 for size in sizes]
