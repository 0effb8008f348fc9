"""Threads that tenants take turns at."""

import asyncio
import threading
from functools import partial

import pytest

from lockstitch_server.engine.shares import Shares
from lockstitch_server.rpc.fair_threads import FairThreads

SECONDS = 60


async def test_a_busy_tenant_delays_only_itself() -> None:
    """It had put much work there before another tenant came, whose work is done next."""
    threads, go_on, done = FairThreads(1, 1, "test"), threading.Event(), list[str]()
    begun = asyncio.create_task(threads.run("busy", lambda: go_on.wait(SECONDS)))
    await asyncio.sleep(0)
    busy = [asyncio.create_task(threads.run("busy", partial(done.append, "busy"))) for _ in range(20)]
    await asyncio.sleep(0)
    other = asyncio.create_task(threads.run("other", partial(done.append, "other")))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(begun, other, *busy)
    assert done.index("other") <= 1
    assert len(done) == 21


async def test_a_tenant_does_not_have_all_threads() -> None:
    """Work of another tenant does not wait until long work of the first one ends."""
    threads, go_on = FairThreads(2, 1, "test"), threading.Event()
    busy = [asyncio.create_task(threads.run("busy", lambda: go_on.wait(SECONDS))) for _ in range(3)]
    await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS / 2):
        assert await threads.run("other", lambda: "done") == "done"
    assert not any(each.done() for each in busy)
    go_on.set()
    assert await asyncio.gather(*busy) == [True] * 3


async def test_who_is_cancelled_gives_the_turn_to_the_next() -> None:
    threads, go_on = FairThreads(1, 1, "test"), threading.Event()
    begun = asyncio.create_task(threads.run("a", lambda: go_on.wait(SECONDS)))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(threads.run("a", lambda: "done")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    go_on.set()
    await begun
    waiting[1].cancel()  # it may have been given the thread already
    async with asyncio.timeout(SECONDS):
        assert await waiting[2] == "done"
        assert await threads.run("b", lambda: "free") == "free"


async def test_work_that_has_begun_keeps_its_caller_until_it_ends() -> None:
    """What cannot be stopped would otherwise take memory and a thread that count for nobody."""
    threads, begun, go_on = FairThreads(2, 2, "test"), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(SECONDS)

    calls = [asyncio.create_task(threads.run("", work)) for _ in range(3)]
    assert await asyncio.to_thread(begun.wait, SECONDS)
    for call in calls:
        call.cancel()
    done, _ = await asyncio.wait(calls, timeout=0.2)
    assert done == {calls[-1]}, "only the call whose work has not begun"
    go_on.set()
    done, _ = await asyncio.wait(calls, timeout=SECONDS)
    assert all(call.cancelled() for call in calls)
    assert done == set(calls)


async def test_failures_reach_the_caller_and_free_the_thread() -> None:
    threads = FairThreads(1, 1, "test")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.run("", lambda: 1 // 0)
    assert await threads.run("", lambda: 1) == 1


def test_a_tenant_holds_no_more_than_it_leaves_free() -> None:
    shares = Shares(1000)
    assert shares.fits("a", 500)
    assert not shares.fits("a", 501)
    shares.add("a", 500)
    assert not shares.fits("a", 1)
    assert shares.fits("b", 250)
    shares.add("b", 250)
    assert not shares.fits("b", 1)
    assert shares.fits("c", 125)
    shares.add("a", -500)
    assert shares.held == shares.of("b") == 250
    assert shares.fits("a", 375)


def test_all_tenants_together_hold_no_more_than_the_total() -> None:
    shares = Shares(1000)
    for number in range(100):
        while shares.fits(str(number), 1):
            shares.add(str(number), 1)
    assert 990 < shares.held <= 1000
