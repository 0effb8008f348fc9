"""Requests that wait together are worked on together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.fair_queue import Entry, FairQueue

T = TypeVar("T")
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)

ENOUGH_ITEMS = 32
"""A batch does not wait for more than this number of items."""
GATHER_SECONDS = 0.002
"""How long a batch waits for items at most."""
IDLE_TURN_SECONDS = 25e-6
"""A turn of the event loop that takes no longer has done no work."""
IDLE_SECONDS = 50e-6
"""How long the event loop is idle before a batch waits no longer."""
SLICE = 8
"""Items of a batch that are worked on in one turn of the event loop: other calls need not wait for the whole batch."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a batcher takes."""

    queue_items: int
    queue_bytes: int
    batch_items: int
    batch_bytes: int
    group_items: int = 0
    """Most items of one group that may wait; 0: as many as of all."""
    group_bytes: int = 0
    """Most bytes of one group that may wait, alike."""


class Waiter(Protocol[R_contra]):
    """Who waits for a result, as an `asyncio.Future` does."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: R_contra, /) -> None: ...

    def set_exception(self, failure: Failure, /) -> None: ...


Late = asyncio.Task[R | Failure]
"""A result that comes after the batch."""


class BatchObserver(Protocol):
    """Hears of batches."""

    def done(self, items: int, waited: float, seconds: float) -> None:
        """One has been worked on. waited: how long its oldest item had waited before, in seconds."""
        ...


class BatchingQueue(Generic[T, R]):
    """Collects items while earlier ones are being worked on, and works on all that have come as one batch.

    Work runs in tasks of its own: a caller that is cancelled stops waiting, and changes nothing for its batch. An item
    that has not been begun by then is dropped. Items belong to groups, which take turns, and of which none is kept out
    because of the others: while the queue is full, each may still fill its share of one.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Failure | Late[R]]]],
        size_of: Callable[[T], int],
        bounds: Bounds,
        *,
        count_of: Callable[[T], int] = lambda _: 1,
        group_of: Callable[[T], str] = lambda _: "",
        lanes: int = 1,
        fill: int = 1,
        gathers: bool = False,
        observer: BatchObserver | None = None,
    ) -> None:
        """work: a late result is one that the next batches need not wait for.
        gathers: whether batches of several items wait for more while the event loop is busy. Small batches are dear.
        count_of: as how many an item counts.
        group_of: the group that an item belongs to.
        lanes: how many batches may be worked on at once.
        fill: how many items must wait before a lane beside a busy one begins; small batches are dear.
        """
        self._work = work
        self._size_of = size_of
        self._count_of = count_of
        self._group_of = group_of
        self._bounds = bounds
        self._lanes = self._free_lanes = lanes
        self._fill = fill
        self._observer = observer
        self._oldest = 0.0
        """When the first of the batch that was taken last had come, where anybody wants to know."""
        self._queue: FairQueue[tuple[T, Waiter[R]]] = FairQueue()
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._taken = asyncio.Event()
        self._gathers = gathers
        self._last_items = 1
        """Of the batch that was taken last."""

    @property
    def queued(self) -> tuple[int, int]:
        """How much waits: as how many items it counts, and its bytes."""
        return self._queue.items, self._queue.bytes

    async def submit(self, item: T) -> R:
        """Have an item worked on. Fails with DRAINING, OVERLOADED, RATE_LIMITED, or what its work does."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.put(item, future)
        return await future

    def put(self, item: T, waiter: Waiter[R]) -> None:
        """Have an item worked on, in the order of the puts. Fails at once with DRAINING, OVERLOADED, RATE_LIMITED."""
        size, count, group = self._size_of(item), self._count_of(item), self._group_of(item)
        self._admit(size, count, group)
        came = monotonic() if self._observer is not None else 0.0
        self._queue.append(group, Entry((item, waiter), count, size, came))
        self._start_lane()

    @property
    def waiting(self) -> int:
        """How many operations wait."""
        return self._queue.items

    async def room(self, size: int, count: int = 1, group: str = "") -> None:
        """Wait until a `put` of this size would not find the batcher overloaded."""
        while self._is_full(size, count, group) or self._is_over(size, count, group):
            self._taken.clear()
            await self._taken.wait()

    async def close(self) -> None:
        """Take no more, and wait until all that was taken is done."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    def _admit(self, size: int, count: int, group: str) -> None:
        if self._closed:
            raise Failure(Reason.DRAINING, "the server is stopping")
        if self._is_full(size, count, group):
            raise Failure(Reason.OVERLOADED, "the server has too much work waiting")
        if limit := self._is_over(size, count, group):
            raise Failure(Reason.RATE_LIMITED, "the tenant has too much work waiting", limit=limit)

    def _is_full(self, size: int, count: int, group: str) -> bool:
        bounds, queue = self._bounds, self._queue
        full = queue.items + count > bounds.queue_items or queue.bytes + size > bounds.queue_bytes
        # An item larger than the whole queue is taken when it is alone.
        if not (full and queue):
            return False
        mine, shares = queue.usage(group), queue.groups_with(group)
        return (mine.items + count) * shares > bounds.queue_items or (mine.bytes + size) * shares > bounds.queue_bytes

    def _is_over(self, size: int, count: int, group: str) -> int:
        """The bound of a group that an item would break; 0: none."""
        bounds, mine = self._bounds, self._queue.usage(group)
        if bounds.group_items and mine.items and mine.items + count > bounds.group_items:
            return bounds.group_items
        if bounds.group_bytes and mine.items and mine.bytes + size > bounds.group_bytes:
            return bounds.group_bytes
        return 0

    def _start_lane(self) -> None:
        idle = self._free_lanes == self._lanes
        if self._free_lanes and (idle or self._queue.items >= self._fill):
            self._free_lanes -= 1
            # In a context of its own: it works for all, not only for the call that happens to start it.
            task = asyncio.create_task(self._lane(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _lane(self) -> None:
        try:
            # Everything that becomes ready in this turn of the loop joins the batch.
            await asyncio.sleep(0)
            while self._queue:
                if self._gathers:
                    await self._gather()
                if batch := self._take():
                    await self._run_observed(batch)
        finally:
            self._free_lanes += 1

    async def _gather(self) -> None:
        """Wait for items that are on their way while the loop is busy: they come out of the work that it does.

        An item that is alone, after another one that was alone, does not wait.
        """
        if self._last_items == 1 and self._queue.items == 1:
            return
        begun = turn = idle_since = monotonic()
        while self._queue.items < ENOUGH_ITEMS and turn - begun < GATHER_SECONDS:
            await asyncio.sleep(0)
            before, turn = turn, monotonic()
            if turn - before > IDLE_TURN_SECONDS:
                idle_since = turn
            elif turn - idle_since > IDLE_SECONDS:
                return

    async def _run_observed(self, batch: Sequence[tuple[T, Waiter[R]]]) -> None:
        if self._observer is None:
            await self._run_safely(batch)
            return
        began, came = monotonic(), self._oldest
        await self._run_safely(batch)
        try:
            self._observer.done(sum(self._count_of(item) for item, _ in batch), began - came, monotonic() - began)
        except Exception:
            log.exception("batch_observer_failed")

    async def _run_safely(self, batch: Sequence[tuple[T, Waiter[R]]]) -> None:
        """Whatever goes wrong, every item gets a result and the lane goes on."""
        try:
            await self._run(batch)
        except BaseException as error:
            for _, waiter in batch:
                _answer(waiter, _broken())
            if not isinstance(error, Exception):
                raise
            log.exception("batch_failed", items=len(batch))

    def _take(self) -> list[tuple[T, Waiter[R]]]:
        batch: list[tuple[T, Waiter[R]]] = []
        bounds, count, size = self._bounds, 0, 0
        self._oldest = self._queue.first().came if self._queue else 0.0
        while self._queue:
            (item, waiter), item_count, item_size, came = self._queue.first()
            if batch and (count + item_count > bounds.batch_items or size + item_size > bounds.batch_bytes):
                break
            self._queue.popleft()
            self._oldest = min(self._oldest, came)
            if not waiter.done():
                batch.append((item, waiter))
                count += item_count
                size += item_size
        self._taken.set()
        self._last_items = len(batch)
        return batch

    async def _run(self, batch: Sequence[tuple[T, Waiter[R]]]) -> None:
        results: Sequence[R | Failure | Late[R]]
        try:
            results = await self._work([item for item, _ in batch])
        except Failure as failure:
            results = [failure] * len(batch)
        for place, ((_, waiter), result) in enumerate(zip(batch, results, strict=True), 1):
            if isinstance(result, asyncio.Task):
                self._running.add(result)
                result.add_done_callback(partial(self._answer_late, waiter))
            else:
                _answer(waiter, result)
            if place % SLICE == 0:
                await asyncio.sleep(0)

    def _answer_late(self, waiter: Waiter[R], late: Late[R]) -> None:
        self._running.discard(late)
        _answer(waiter, _broken() if late.cancelled() or late.exception() is not None else late.result())


def _broken() -> Failure:
    return Failure(Reason.INTERNAL, "the server failed to do this")


def _answer(waiter: Waiter[R], result: R | Failure) -> None:
    """Give a result to one waiter. If that fails, the other waiters still get theirs."""
    if waiter.done():
        return
    try:
        if isinstance(result, Failure):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)
    except Exception:
        log.exception("response_failed")
        if not isinstance(result, Failure):
            _answer(waiter, _broken())
