"""The time in which operations are counted."""

import asyncio


async def test_an_operation_that_outlasts_the_window_is_waited_for() -> None:
    from benchmarks.driver.job import Job
    from benchmarks.driver.window import measure_tasks

    measured = await measure_tasks(Job("any", "", seconds=0.01, warm_up=0.0), [lambda: asyncio.sleep(0.3)])
    assert measured.count >= 1
