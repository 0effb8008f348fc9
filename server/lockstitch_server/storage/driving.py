"""Coroutines that never suspend, run to their end where there is no event loop to await them."""

from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


def drive(awaitable: Awaitable[T]) -> T:
    """The result of a coroutine that never suspends."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a coroutine that must not suspend has suspended")
