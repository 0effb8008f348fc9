"""What watches queues and databases: their spans and numbers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lockstitch_server.telemetry.stats import Stats

if TYPE_CHECKING:
    from lockstitch_server.telemetry.tracing import Attributes, Sort, Tracer


POOL = "lockstitch"


class QueueStats:
    """Counts the batches of one queue."""

    def __init__(self, stats: Stats, queue: str) -> None:
        self._stats = stats
        self._queue = queue
        self._wait = stats.histogram("lockstitch.queue.wait", queue)
        self._size = stats.histogram("lockstitch.batch.size", queue)
        self._duration = stats.histogram("lockstitch.batch.duration", queue)

    def watch(self, waiting: Callable[[], tuple[int, int]]) -> None:
        """Tell how many requests wait, and of how many bytes."""

        def look(stats: Stats) -> None:
            items, size = waiting()
            stats.set("lockstitch.queue.items", items, self._queue)
            stats.set("lockstitch.queue.size", size, self._queue)

        self._stats.watch(look)

    def done(self, items: int, waited: float, seconds: float) -> None:
        """A batch of so many has been worked on. waited: how long the oldest had waited before, in seconds."""
        self._size.observe(items)
        self._wait.observe(waited)
        self._duration.observe(seconds)


@dataclass(slots=True)
class Use:
    """One use of a database that is going on."""

    is_told: bool
    """Whether what it stores is told: to add that up takes its time."""
    stored: int = 0
    """How many bytes it has brought there."""


UNTOLD = nullcontext(Use(is_told=False))
"""A use of which nothing is told."""


class DatabaseObserver:
    """Tells of uses of a database."""

    def __init__(self, url: str, tracer: "Tracer | None", stats: Stats | None) -> None:
        self._system, self._attributes = describe(url)
        self._tracer = tracer
        self._stats = stats
        self._sorts: dict[str, Sort] = {}

    def using(self, operation: str, sessions: int = 0) -> AbstractContextManager[Use]:
        """Watch one use. sessions: how many it changes, where that is known before."""
        if self._stats is None and (self._tracer is None or self._tracer.current() is None):
            return UNTOLD
        return self._watched(operation, sessions)

    @contextmanager
    def _watched(self, operation: str, sessions: int) -> Iterator[Use]:
        began, fault, use = perf_counter(), None, Use(is_told=True)
        end = self._begin_span(operation, sessions)
        try:
            yield use
        except BaseException as error:
            fault = error
            raise
        finally:
            if end is not None:
                end(use, fault)
            if self._stats is not None:
                self._stats.add("lockstitch.saves.stored", use.stored)
                name = "db.client.operation.duration"
                self._stats.histogram(name, self._system, operation).observe(perf_counter() - began)

    def _begin_span(self, operation: str, sessions: int) -> Callable[[Use, BaseException | None], None] | None:
        """The span of a use, if it happens within one. Gives what ends it."""
        tracer = self._tracer
        if tracer is None or (parent := tracer.current()) is None:
            return None
        begun, sort = tracer.begin(parent), self._sort(operation)
        attributes: dict[str, str | int | float | bool] = {}
        if sessions > 1:
            attributes["db.operation.batch.size"] = sessions

        def end(use: Use, fault: BaseException | None) -> None:
            if use.stored:
                attributes["lockstitch.stored.size"] = use.stored
            if fault is not None:
                attributes["error.type"] = type(fault).__name__
            tracer.end(sort, begun, attributes, fault="the database failed" if fault is not None else "")

        return end

    def _sort(self, operation: str) -> "Sort":
        from lockstitch_server.telemetry.tracing import CLIENT, Sort

        if operation not in self._sorts:
            self._sorts[operation] = Sort(operation, CLIENT, {**self._attributes, "db.operation.name": operation})
        return self._sorts[operation]


def watch_connections(stats: Stats, pool: Callable[[], tuple[int, int, int] | None]) -> None:
    """Tell of a pool of connections: how many are in use and idle, and how many there may be."""

    def look(stats: Stats) -> None:
        found = pool()
        if found is not None:
            used, idle, most = found
            stats.set("db.client.connection.count", used, POOL, "used")
            stats.set("db.client.connection.count", idle, POOL, "idle")
            stats.set("db.client.connection.max", most, POOL)

    stats.watch(look)


def describe(url: str) -> "tuple[str, Attributes]":
    """The name of a store's kind of database, and attributes of its spans; no secret is among them."""
    if not url.startswith("postgres"):
        return "sqlite", {"db.system.name": "sqlite"}
    parts = urlsplit(url)
    attributes: dict[str, str | int | float | bool] = {"db.system.name": "postgresql"}
    if database := parts.path.strip("/"):
        attributes["db.namespace"] = database
    if "," not in parts.netloc and parts.hostname:
        attributes["server.address"] = parts.hostname
        attributes["server.port"] = parts.port or 5432
    return "postgresql", attributes
