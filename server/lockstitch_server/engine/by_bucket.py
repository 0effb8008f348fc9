"""Work on a distributed database, where the items of a batch are divided by the buckets of their sessions."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from lockstitch_server.core.errors import Failure
from lockstitch_server.storage.buckets import bucket_of

T = TypeVar("T")
R = TypeVar("R")


async def run_by_bucket(
    work: Callable[[Sequence[T]], Awaitable[Sequence[R | Failure]]],
    items: Sequence[T],
    key_of: Callable[[T], bytes],
    slots: asyncio.Semaphore,
) -> Sequence[R | Failure]:
    """Run a batch for each bucket, as many at once as there are slots. One that fails does not stop the others.

    Items of one bucket stay in their order.
    """
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[bucket_of(key_of(item))].append(place)
    results: dict[int, R | Failure] = {}

    async def run_bucket(own: Sequence[int]) -> None:
        done: Sequence[R | Failure]
        async with slots:
            try:
                done = await work([items[place] for place in own])
            except Failure as failure:
                done = [failure] * len(own)
        results.update(zip(own, done, strict=True))

    await asyncio.gather(*map(run_bucket, places.values()))
    return [results[place] for place in range(len(items))]
