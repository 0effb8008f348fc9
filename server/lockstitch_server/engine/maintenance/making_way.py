"""Lets saves go before work that can wait."""

import asyncio
from collections.abc import Callable

MAX_SECONDS = 10.0
"""How long work waits while saves wait. Then it continues, so that it is never postponed for ever."""
STEP = 0.1


async def make_way(pause: float, is_busy: Callable[[], bool]) -> None:
    """Pause, then wait as long as saves wait, up to MAX_SECONDS."""
    await asyncio.sleep(pause)
    waited = 0.0
    while is_busy() and waited < MAX_SECONDS:
        await asyncio.sleep(STEP)
        waited += STEP
