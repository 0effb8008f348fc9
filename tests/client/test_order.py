"""Saves of one session are sent in the order of the calls, on streams and by calls of their own."""

import asyncio

import pytest

from lockstitch import AsyncClient, DeadlineExceeded
from lockstitch._turns import SaveTurns
from tests.client.examples import conversation
from tests.support.server import LockstitchServer

PAIRS = 200
LARGE = "x" * 100_000


async def save_pair(client: AsyncClient, session_id: str) -> None:
    """The second save fails unless the first one has been applied. The first one is large, and takes its time."""
    first = asyncio.create_task(client.save(conversation(session_id, 0, LARGE)))
    second = asyncio.create_task(client.save(conversation(session_id, 1, "small"), expected_latest=0))
    await asyncio.gather(first, second)


@pytest.mark.parametrize("stream", [True, False], ids=["streams", "calls"])
@pytest.mark.parametrize("at_once", [1, 20])
async def test_of_pairs(server: LockstitchServer, session_id: str, stream: bool, at_once: int) -> None:
    async with AsyncClient(server.target, stream=stream) as client:
        for start in range(0, PAIRS, at_once):
            pairs = (save_pair(client, f"{session_id}-{start + number}") for number in range(at_once))
            await asyncio.gather(*pairs)


@pytest.mark.parametrize("stream", [True, False], ids=["streams", "calls"])
async def test_of_a_session(server: LockstitchServer, session_id: str, stream: bool) -> None:
    """A chain of saves, with newcomers while others are under way."""

    async def save(step: int) -> None:
        expected = step - 1 if step else None
        await client.save(conversation(session_id, step, "x" * (step % 3)), expected_latest=expected)

    async with AsyncClient(server.target, stream=stream) as client:
        saves = []
        for step in range(100):
            saves.append(asyncio.create_task(save(step)))
            if step % 10 == 0:
                await asyncio.sleep(0.002)
        await asyncio.gather(*saves)


async def test_a_save_that_is_cancelled_lets_the_others_go_on(server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(server.target, stream=False) as client:
        saves = [asyncio.create_task(client.save(conversation(session_id, step, LARGE))) for step in range(20)]
        await asyncio.sleep(0)
        for cancelled in saves[::3]:
            cancelled.cancel()
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == len(saves[::3])
        latest = (await client.load_latest(session_id)).checkpoint
        assert latest is not None
        assert latest.step == 19
        await client.save(conversation(session_id, 20))


async def test_a_save_does_not_wait_longer_than_its_timeout(own_server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(own_server.target, stream=False) as client:
        await client.save(conversation(session_id, 0))
        own_server.freeze()
        first = asyncio.create_task(client.save(conversation(session_id, 1)))
        second = asyncio.create_task(client.save(conversation(session_id, 2), timeout=0.2))
        with pytest.raises(DeadlineExceeded, match="earlier save of this session"):
            await second
        own_server.thaw()
        await first
        await client.save(conversation(session_id, 3))


async def test_newcomers_do_not_overtake() -> None:
    """Those that waited follow each other on the stream, whatever else runs in between."""
    turns, order, is_stream = SaveTurns(lambda _: is_stream[0]), list[int](), [False]

    async def save(number: int) -> None:
        is_alone = await turns.enter("s", 30)
        order.append(number)
        if is_alone:
            await asyncio.sleep(0)
            turns.leave("s")

    tasks = []
    for number in range(50):
        tasks.append(asyncio.create_task(save(number)))
        is_stream[0] = number % 5 != 0
        if number % 3 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == list(range(50))
    assert not turns._waiting
