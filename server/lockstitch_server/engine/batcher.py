"""Requests that wait together are worked on together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from lockstitch_server.core.errors import Failure, Reason

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a batcher takes."""

    queue_items: int
    queue_bytes: int
    batch_items: int
    batch_bytes: int


class Batcher(Generic[T, R]):
    """Collects items while earlier ones are being worked on, and works on all that have come as one batch.

    Work runs in tasks of its own: a caller that is cancelled stops waiting, and changes nothing for its batch. An item
    that has not been begun by then is dropped.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Failure]]],
        size_of: Callable[[T], int],
        bounds: Bounds,
        *,
        lanes: int = 1,
    ) -> None:
        self._work = work
        self._size_of = size_of
        self._bounds = bounds
        self._free_lanes = lanes
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._queued_bytes = 0
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    async def submit(self, item: T) -> R:
        """Have an item worked on. Fails with OVERLOADED, DRAINING, or what its work fails with."""
        size = self._size_of(item)
        self._admit(size)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        self._queued_bytes += size
        self._start_lane()
        return await future

    async def close(self) -> None:
        """Take no more, and wait until all that was taken is done."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    def _admit(self, size: int) -> None:
        if self._closed:
            raise Failure(Reason.DRAINING, "the server is stopping")
        bounds = self._bounds
        full = len(self._queue) >= bounds.queue_items or self._queued_bytes + size > bounds.queue_bytes
        # An item larger than the whole queue is taken when it is alone.
        if full and self._queue:
            raise Failure(Reason.OVERLOADED, "the server has too much work waiting")

    def _start_lane(self) -> None:
        if self._free_lanes:
            self._free_lanes -= 1
            task = asyncio.create_task(self._lane())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _lane(self) -> None:
        try:
            # Everything that becomes ready in this turn of the loop joins the batch.
            await asyncio.sleep(0)
            while batch := self._take():
                await self._run_safely(batch)
        finally:
            self._free_lanes += 1

    async def _run_safely(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        """Whatever goes wrong, everyone is answered and the lane goes on."""
        try:
            await self._run(batch)
        finally:
            for _, future in batch:
                _answer(future, Failure(Reason.INTERNAL, "the server failed to do this"))

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        size = 0
        while self._queue and len(batch) < self._bounds.batch_items:
            item, future = self._queue[0]
            item_size = self._size_of(item)
            if batch and size + item_size > self._bounds.batch_bytes:
                break
            self._queue.popleft()
            self._queued_bytes -= item_size
            if not future.done():
                batch.append((item, future))
                size += item_size
        return batch

    async def _run(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Failure as failure:
            if failure.reason is Reason.DATA_LOSS and len(batch) > 1:
                await self._run_each(batch)
                return
            results = [failure] * len(batch)
        except Exception:
            await self._run_each(batch)
            return
        for (_, future), result in zip(batch, results, strict=True):
            _answer(future, result)

    async def _run_each(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        """An item that breaks its batch must not break its neighbours: work on each alone."""
        if len(batch) == 1:
            log.error("item_broken", exc_info=True)
            return
        log.warning("batch_broken", items=len(batch), exc_info=True)
        for entry in batch:
            await self._run_safely([entry])


def _answer(future: "asyncio.Future[R]", result: R | Failure) -> None:
    if future.done():
        return
    if isinstance(result, Failure):
        future.set_exception(result)
    else:
        future.set_result(result)
