"""Work that a caller's cancellation does not reach."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T], at_end: Callable[[], None] | None = None) -> T:
    """Wait for work in a task of its own, which goes on to its end whatever becomes of the caller.

    at_end: called when the work has ended.
    """
    task = asyncio.create_task(work)
    if at_end is not None:
        task.add_done_callback(lambda _: at_end())
    task.add_done_callback(_retrieve)
    return await asyncio.shield(task)


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Take note of an error that nobody waits for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
