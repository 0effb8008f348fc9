"""Batches: requests that wait together are processed together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.fair_queue import Entry, FairQueue

T = TypeVar("T")
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)

ENOUGH_ITEMS = 32
"""A batch of this many items waits for no more."""
GATHER_SECONDS = 0.002
"""Maximum time that a batch waits for more items."""
IDLE_TURN_SECONDS = 25e-6
"""A turn of the event loop that takes no longer than this did no work."""
IDLE_SECONDS = 50e-6
"""A batch waits no longer once the event loop has been idle for this time."""
SLICE = 8
"""Items of a batch that are processed in one turn of the event loop, so that other calls need not wait for all."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a queue and of its batches. An item counts as `count_of` items, and has `size_of` bytes."""

    queue_items: int
    queue_bytes: int
    batch_items: int
    batch_bytes: int
    group_items: int = 0
    """Maximum items of one group that wait. 0: no limit but that of the queue."""
    group_bytes: int = 0
    """Maximum bytes of one group that wait. 0: no limit but that of the queue."""


class Waiter(Protocol[R_contra]):
    """Receives one result. An `asyncio.Future` is a Waiter."""

    def done(self) -> bool:
        """Whether it has a result, or waits no longer."""
        ...

    def set_result(self, result: R_contra, /) -> None: ...

    def set_exception(self, failure: Failure, /) -> None: ...


Late = asyncio.Task[R | Failure]
"""A result that comes after the batch. The next batches do not wait for it."""


class QueueObserver(Protocol):
    """Measures batches."""

    def done(self, items: int, waited: float, seconds: float) -> None:
        """A batch was processed in `seconds`. waited: how long its oldest item was in the queue, in seconds."""
        ...


ProcessBatch: TypeAlias = Callable[[Sequence[T]], Awaitable[Sequence[R | Failure | Late[R]]]]
"""Processes items. Returns a result for each, in their order."""


class _Request(NamedTuple, Generic[T, R]):
    """An item, and the receiver of its result."""

    item: T
    waiter: Waiter[R]


class BatchingQueue(Generic[T, R]):
    """Collects items while a batch is processed. All items that wait then become the next batch.

    Batches are processed in tasks of their own. A caller that is cancelled stops waiting, and changes nothing for its
    batch; its item is dropped if its batch has not begun. Items belong to groups, which are served round robin. While
    the queue is full, each group may still fill its share of it.
    """

    def __init__(
        self,
        process_batch: ProcessBatch[T, R],
        size_of: Callable[[T], int],
        bounds: Bounds,
        *,
        count_of: Callable[[T], int] = lambda _: 1,
        group_of: Callable[[T], str] = lambda _: "",
        max_in_flight: int = 1,
        min_batch: int = 1,
        gathers: bool = False,
        observer: QueueObserver | None = None,
    ) -> None:
        """size_of: the bytes of an item.
        count_of: as how many items an item counts.
        group_of: the group of an item.
        max_in_flight: how many batches may be processed at once.
        min_batch: how many items must wait before a batch begins beside another. Small batches are expensive.
        gathers: whether a batch of several items waits for more while the event loop is busy.
        """
        self._process_batch = process_batch
        self._size_of = size_of
        self._count_of = count_of
        self._group_of = group_of
        self._bounds = bounds
        self._max_in_flight = max_in_flight
        self._min_batch = min_batch
        self._gathers = gathers
        self._observer = observer
        self._queue: FairQueue[_Request[T, R]] = FairQueue()
        self._running: set[asyncio.Task[Any]] = set()
        self._in_flight = 0
        self._closed = False
        self._dequeued = asyncio.Event()
        self._last_items = 1
        """The number of items in the batch before."""

    @property
    def queued(self) -> tuple[int, int]:
        """The items that wait, and their bytes."""
        return self._queue.items, self._queue.bytes

    async def submit(self, item: T) -> R:
        """The result of an item. Fails with DRAINING, OVERLOADED, RATE_LIMITED, or as its batch does."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.enqueue(item, future)
        try:
            return await future
        finally:
            del future  # it would form a reference cycle with its exception and the frames in that

    def enqueue(self, item: T, waiter: Waiter[R]) -> None:
        """Add an item, whose result `waiter` receives. Fails with DRAINING, OVERLOADED, RATE_LIMITED."""
        size, count, group = self._size_of(item), self._count_of(item), self._group_of(item)
        self._admit(size, count, group)
        self._queue.append(group, Entry(_Request(item, waiter), count, size, monotonic()))
        if not self._in_flight or (self._in_flight < self._max_in_flight and self._queue.items >= self._min_batch):
            self._in_flight += 1
            # In a context of its own: it works for all calls, not only for the one that starts it.
            task = asyncio.create_task(self._process_queue(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def wait_for_capacity(self, size: int, count: int = 1, group: str = "") -> None:
        """Wait until the queue has room for an item of this size."""
        while self._is_full(size, count, group) or self._group_limit(size, count, group):
            self._dequeued.clear()
            await self._dequeued.wait()

    async def close(self) -> None:
        """Refuse new items, and wait until all items in the queue have results."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    def _admit(self, size: int, count: int, group: str) -> None:
        if self._closed:
            raise Failure(Reason.DRAINING, "the server is stopping")
        if self._is_full(size, count, group):
            raise Failure(Reason.OVERLOADED, "the server has too much work waiting")
        if limit := self._group_limit(size, count, group):
            raise Failure(Reason.RATE_LIMITED, "the tenant has too much work waiting", limit=limit)

    def _is_full(self, size: int, count: int, group: str) -> bool:
        bounds, queue = self._bounds, self._queue
        if queue.items + count <= bounds.queue_items and queue.bytes + size <= bounds.queue_bytes:
            return False
        if not queue:  # an item larger than the whole queue is taken when it is alone
            return False
        mine, groups = queue.usage(group), queue.groups_with(group)
        return (mine.items + count) * groups > bounds.queue_items or (mine.bytes + size) * groups > bounds.queue_bytes

    def _group_limit(self, size: int, count: int, group: str) -> int:
        """The limit of its group that an item would exceed; 0: none."""
        bounds, mine = self._bounds, self._queue.usage(group)
        if bounds.group_items and mine.items and mine.items + count > bounds.group_items:
            return bounds.group_items
        if bounds.group_bytes and mine.items and mine.bytes + size > bounds.group_bytes:
            return bounds.group_bytes
        return 0

    async def _process_queue(self) -> None:
        """Process batches until the queue is empty."""
        try:
            # All that becomes ready in this turn of the event loop joins the batch.
            await asyncio.sleep(0)
            while self._queue:
                if self._gathers:
                    await self._gather()
                if batch := self._dequeue():
                    begun = monotonic()
                    await self._process(batch)
                    self._observe(batch, begun)
        finally:
            self._in_flight -= 1

    async def _gather(self) -> None:
        """Wait while the event loop is busy: its work may be calls that enqueue items.

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

    def _dequeue(self) -> list[Entry[_Request[T, R]]]:
        """The next batch. Drops items whose waiters wait no longer."""
        batch: list[Entry[_Request[T, R]]] = []
        bounds, count, size = self._bounds, 0, 0
        while self._queue:
            entry = self._queue.first()
            if batch and (count + entry.items > bounds.batch_items or size + entry.bytes > bounds.batch_bytes):
                break
            self._queue.popleft()
            if not entry.value.waiter.done():
                batch.append(entry)
                count += entry.items
                size += entry.bytes
        self._dequeued.set()
        self._last_items = len(batch)
        return batch

    async def _process(self, batch: Sequence[Entry[_Request[T, R]]]) -> None:
        """Process a batch. Whatever goes wrong, every item gets a result."""
        try:
            results: Sequence[R | Failure | Late[R]]
            try:
                results = await self._process_batch([entry.value.item for entry in batch])
            except Failure as failure:
                results = [failure] * len(batch)
            for place, (entry, result) in enumerate(zip(batch, results, strict=True), 1):
                if isinstance(result, asyncio.Task):
                    self._running.add(result)
                    result.add_done_callback(partial(self._respond_late, entry.value.waiter))
                else:
                    _respond(entry.value.waiter, result)
                if place % SLICE == 0:
                    await asyncio.sleep(0)
        except BaseException as error:
            for entry in batch:
                _respond(entry.value.waiter, _broken())
            if not isinstance(error, Exception):
                raise
            log.exception("batch_failed", items=len(batch))

    def _respond_late(self, waiter: Waiter[R], late: Late[R]) -> None:
        self._running.discard(late)
        _respond(waiter, _broken() if late.cancelled() or late.exception() is not None else late.result())

    def _observe(self, batch: Sequence[Entry[_Request[T, R]]], begun: float) -> None:
        if self._observer is None:
            return
        waited = begun - min(entry.enqueued_at for entry in batch)
        try:
            self._observer.done(sum(entry.items for entry in batch), waited, monotonic() - begun)
        except Exception:
            log.exception("batch_observer_failed")


def _broken() -> Failure:
    return Failure(Reason.INTERNAL, "the server failed to do this")


def _respond(waiter: Waiter[R], result: R | Failure) -> None:
    """Give a waiter its result. If that fails, the other waiters still get theirs."""
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
            _respond(waiter, _broken())
