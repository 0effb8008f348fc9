"""Where saves are worked on: here, or in a process of their own beside the one that talks to clients.

The second is faster where there are processors for both: gRPC alone fills one, and Python cannot use two at once.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.heads import Heads
from lockstitch_server.engine.committer import Committer
from lockstitch_server.rpc.observers import SaveCounts
from lockstitch_server.rpc.saves import Asked, Saves
from lockstitch_server.storage import Store
from lockstitch_server.telemetry.hub import SILENT, Hub
from lockstitch_server.telemetry.session_ids import SessionIds
from lockstitch_server.writer.remote import Remote

Work: TypeAlias = Callable[[Sequence[Asked]], Awaitable[Sequence[bytes | Failure]]]


def create_saves(store: Store, settings: Settings, hub: Hub = SILENT) -> Saves:
    """What does saves in this process."""
    limits = settings.limits
    heads = Heads(settings.session_cache_bytes)
    committer = Committer(store, heads, limits.max_message_bytes, limits.max_parts)
    counts = SaveCounts(hub.stats) if hub.stats is not None else None
    if hub.tracer is None:
        return Saves(committer, limits, counts)
    from lockstitch_server.rpc.call_spans import CallSpans
    from lockstitch_server.rpc.traced_saves import TracedSaves

    return TracedSaves(committer, limits, counts, CallSpans(hub.tracer, SessionIds(settings.tell_session_ids)))


@asynccontextmanager
async def writer_of(settings: Settings, worker: int = 0) -> AsyncIterator[Remote | None]:
    """A process that does saves, to be opened when its store is ready; None where the settings want none.

    worker: the number of the one that it belongs to, where there are several. Raises StartupError.
    """
    if not has_process(settings):
        yield None
        return
    remote = Remote(settings, worker)
    await remote.spawn()
    try:
        yield remote
    finally:
        await remote.close()


def has_process(settings: Settings) -> bool:
    """Whether saves have a process of their own. Memory cannot be shared by two."""
    if settings.store == "memory://" or settings.writer == "inside":
        return False
    return settings.writer == "process" or _processors() > 1


def _processors() -> int:
    """How many this process may use; 1 where processes cannot share a socket."""
    if sys.platform == "win32":
        return 1
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
