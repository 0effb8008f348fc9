"""Memory for answers: connections and tenants wait for themselves, not for others."""

import asyncio

import pytest

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.reads import answer_memory
from lockstitch_server.engine.reads.answer_memory import AnswerMemory, Recipient

ONE, TWO, OTHER = Recipient("a", "1"), Recipient("a", "2"), Recipient("b", "3")


async def waits(memory: AnswerMemory, recipient: Recipient, size: int) -> bool:
    """Whether a reservation is not made at once. Gives it up, or back."""
    task = asyncio.create_task(memory.reserve(recipient, size))
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        task.result().release()
        return False
    task.cancel()
    return True


async def test_a_connection_has_its_bound_or_one_answer() -> None:
    memory = AnswerMemory(1000, 100)
    large = await memory.reserve(ONE, 500)
    assert await waits(memory, ONE, 1)
    assert not await waits(memory, TWO, 500)
    large.shrink(60)
    assert not await waits(memory, ONE, 40)
    assert await waits(memory, ONE, 41)
    large.release()
    large.release()
    assert memory.held == 0
    assert not await waits(memory, ONE, 500)


async def test_each_tenant_has_its_share() -> None:
    memory = AnswerMemory(1000, 1000)
    await memory.reserve(ONE, 1000)
    assert await waits(memory, TWO, 1)
    mine = await memory.reserve(OTHER, 400)
    assert not await waits(memory, OTHER, 100)
    assert await waits(memory, OTHER, 101)
    assert await waits(memory, TWO, 1)
    mine.release()


async def test_who_waits_goes_on_when_memory_is_free() -> None:
    memory = AnswerMemory(1000, 1000)
    first = await memory.reserve(ONE, 900)
    waiting = [asyncio.create_task(memory.reserve(TWO, 300)) for _ in range(3)]
    await asyncio.sleep(0)
    first.release()
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    assert memory.held == 900


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_memory, "WAIT_SECONDS", 0.01)
    memory = AnswerMemory(1000, 100)
    await memory.reserve(ONE, 100)
    with pytest.raises(Failure, match="connection_answer_bytes") as caught:
        await memory.reserve(ONE, 1)
    assert caught.value.reason is Reason.OVERLOADED


async def test_small_answers_let_a_large_one_of_their_connection_go_first() -> None:
    memory = AnswerMemory(1000, 100)
    small = await memory.reserve(ONE, 50)
    large = asyncio.create_task(memory.reserve(ONE, 90))
    await asyncio.sleep(0)
    assert await waits(memory, ONE, 10)
    assert not await waits(memory, TWO, 10)
    small.release()
    await asyncio.wait_for(large, 30)
    assert not await waits(memory, ONE, 10)


async def test_small_answers_do_not_wait_long_for_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_memory, "PASSED_SECONDS", 0.01)
    memory = AnswerMemory(1000, 100)
    await memory.reserve(ONE, 50)
    large = asyncio.create_task(memory.reserve(ONE, 90))
    await asyncio.sleep(0)
    await asyncio.wait_for(memory.reserve(ONE, 10), 30)
    assert not large.done()
    large.cancel()


async def test_an_answer_that_takes_more_memory_than_it_has_bytes() -> None:
    memory = AnswerMemory(1000, 1000)
    answer = await memory.reserve(ONE, 100, weight=5)
    assert (memory.held, answer.size) == (500, 100)
    answer.shrink(80)
    assert memory.held == 400
    answer.sent_as(120)
    assert memory.held == 120
    answer.release()
    assert memory.held == 0


async def test_an_answer_that_has_become_larger_than_its_memory_counts() -> None:
    """It is there already; who comes later waits."""
    memory = AnswerMemory(1000, 1000)
    answer = await memory.reserve(ONE, 100, weight=5)
    answer.sent_as(900)
    assert await waits(memory, TWO, 200)
    assert not await waits(memory, TWO, 100)
