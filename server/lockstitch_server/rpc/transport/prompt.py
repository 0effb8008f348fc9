"""Time limits that cost nothing where there is nothing to wait for, as for most parts of most calls."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def until(deadline: float | None, work: Awaitable[T], late: Callable[[], Exception] = TimeoutError) -> T:
    """What an awaitable returns. Raises what `late` gives at a time of the event loop's clock; None: never.

    A timer is made only if the awaitable does not return at once.
    """
    steps = work.__await__()
    try:
        first = next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            return await _Rest(first, steps)
    except TimeoutError as error:
        raise late() if limit.expired() else error from None


class _Rest(Awaitable[T]):
    """An awaitable whose first step has been taken."""

    def __init__(self, first: Any, steps: Generator[Any, Any, T]) -> None:
        self._first = first
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(_again, self._first)
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                yield waited_for
            except BaseException as error:
                if not hasattr(self._steps, "throw"):
                    raise
                step = partial(self._steps.throw, error)
            else:
                step = partial(next, self._steps)


def _again(value: T) -> T:
    return value
