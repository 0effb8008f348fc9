"""Work that can take a second or more, in threads of its own.

The event loop and its own threads stay free for everything else: pages that are quick to make never wait for this.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

from starlette.exceptions import HTTPException

THREADS = 2
MAX_WAITING = 32
"""Pages that wait for a thread, or have one. Each holds what it has loaded; one more is refused."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="explorer")
_places = BoundedSemaphore(MAX_WAITING)


async def apart(
    work: Callable[_Parameters, _Result], /, *arguments: _Parameters.args, **named: _Parameters.kwargs
) -> _Result:
    """Do some work beside the event loop. Raises HTTPException: too many pages wait for such work."""
    if not _places.acquire(blocking=False):
        raise HTTPException(503, f"{MAX_WAITING} large pages are being made. Wait some seconds, then reload this page.")
    future = _threads.submit(work, *arguments, **named)
    future.add_done_callback(lambda _: _places.release())  # also where nobody waits for the page any more
    return await asyncio.wrap_future(future)
