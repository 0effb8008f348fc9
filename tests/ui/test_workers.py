"""Heavy pages have threads of their own, and a bounded queue."""

import asyncio
import threading

import pytest
from starlette.exceptions import HTTPException

from lockstitch_ui.workers import MAX_WAITING, THREADS, apart


async def test_light_work_does_not_wait_for_heavy_work() -> None:
    go_on = threading.Event()
    try:
        heavy = [asyncio.create_task(apart(go_on.wait)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)  # they are in the queue
        with pytest.raises(HTTPException) as refused:
            await apart(int)
        assert refused.value.status_code == 503
        assert await asyncio.to_thread(threading.active_count) > THREADS
    finally:
        go_on.set()
    assert await asyncio.gather(*heavy) == [True] * MAX_WAITING
    assert await apart(int, "7") == 7


async def test_work_that_nobody_waits_for_leaves_the_queue() -> None:
    go_on = threading.Event()
    try:
        tasks = [asyncio.create_task(apart(go_on.wait)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        go_on.set()
    while True:  # the threads end what they have begun
        try:
            assert await apart(int, "7") == 7
            break
        except HTTPException:
            await asyncio.sleep(0.01)


async def test_errors_of_the_work_are_the_callers() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await apart(int, "x")
