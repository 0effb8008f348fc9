"""Time limits whose timers are made only where there is something to wait for."""

import asyncio
import time

import pytest

from lockstitch_server.rpc.transport.prompt import until

SECONDS = 60


async def soon(loop: asyncio.AbstractEventLoop) -> str:
    """Waits twice: for a timer, and for a future."""
    await asyncio.sleep(0.001)
    future: asyncio.Future[str] = loop.create_future()
    loop.call_later(0.001, future.set_result, "done")
    return await future


async def at_once() -> str:
    return "done"


async def fails() -> None:
    await asyncio.sleep(0)
    raise KeyError("it failed")


class Hanging:
    """Hangs, and knows whether it was cancelled."""

    def __init__(self) -> None:
        self.was_cancelled = False

    async def hang(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_results_and_failures_pass() -> None:
    loop = asyncio.get_running_loop()
    later = loop.time() + SECONDS
    assert await until(later, at_once()) == "done"
    assert await until(later, soon(loop)) == "done"
    assert await until(later, asyncio.ensure_future(soon(loop))) == "done"
    with pytest.raises(KeyError, match="it failed"):
        await until(later, fails())


async def test_what_hangs_is_cancelled_at_the_deadline() -> None:
    hanging = Hanging()
    with pytest.raises(TimeoutError):
        await until(asyncio.get_running_loop().time() + 0.01, hanging.hang())
    assert hanging.was_cancelled


async def test_who_waits_can_be_cancelled() -> None:
    hanging = Hanging()
    waiting = asyncio.create_task(until(asyncio.get_running_loop().time() + SECONDS, hanging.hang()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert hanging.was_cancelled


async def test_what_has_passed_is_late_only_if_it_waits() -> None:
    past = asyncio.get_running_loop().time() - time.get_clock_info("monotonic").resolution
    assert await until(past, at_once()) == "done"
    with pytest.raises(TimeoutError):
        await until(past, Hanging().hang())
