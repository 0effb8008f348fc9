"""Runs a batch so that an item that fails does not fail the other items."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.buckets import bucket_of


class Keyed(Protocol):
    """An item that belongs to one session."""

    @property
    def key(self) -> bytes: ...


K = TypeVar("K", bound=Keyed)
R = TypeVar("R")
Process = Callable[[Sequence[K]], Awaitable[Sequence[R | Failure]]]
"""Processes items. Returns a result for each, in their order."""

log = structlog.get_logger(__name__)


class BatchTooLarge(Exception):
    """A batch of several items needs too much memory or time. Its items do not, each alone."""


async def run_batch(
    process: Process[K, R], items: Sequence[K], slots: asyncio.Semaphore | None
) -> Sequence[R | Failure]:
    """Process a batch. On a distributed database, each bucket has a batch of its own, and none fails the others.

    slots: how many batches may run at once on a distributed database; None: the database is not distributed.
    Items of one bucket stay in their order.
    """
    if slots is None:
        return await _run_isolated(process, items)
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[bucket_of(item.key)].append(place)
    results: dict[int, R | Failure] = {}

    async def run_bucket(own: Sequence[int]) -> None:
        done: Sequence[R | Failure]
        async with slots:
            try:
                done = await _run_isolated(process, [items[place] for place in own])
            except Failure as failure:
                done = [failure] * len(own)
        results.update(zip(own, done, strict=True))

    await asyncio.gather(*map(run_bucket, places.values()))
    return [results[place] for place in range(len(items))]


async def _run_isolated(process: Process[K, R], items: Sequence[K]) -> Sequence[R | Failure]:
    """Process a batch. If it breaks, process each item alone, in order, so that only the items that break it fail.

    A batch breaks by DATA_LOSS, which one damaged row causes, by an error of the server itself, and if it is too large.
    All other failures concern every item, and are raised.
    """
    try:
        return await process(items)
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS or len(items) == 1:
            raise
    except BatchTooLarge:
        log.info("batch_split", items=len(items))
    except Exception:
        log.warning("batch_failed", items=len(items), exc_info=True)
    return [await _run_alone(process, item) for item in items]


async def _run_alone(process: Process[K, R], item: K) -> R | Failure:
    try:
        (result,) = await process([item])
    except Failure as failure:
        return failure
    except Exception:
        log.exception("item_failed")
        return Failure(Reason.INTERNAL, "the server failed to do this")
    return result
