"""Observers of queues and databases, for metrics and traces."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lockstitch_server.telemetry.stats import Stats

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from lockstitch_server.telemetry.tracing import Attributes

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
        """Report how many requests wait, and how many bytes they have."""

        def look(stats: Stats) -> None:
            items, size = waiting()
            stats.set("lockstitch.queue.items", items, self._queue)
            stats.set("lockstitch.queue.size", size, self._queue)

        self._stats.watch(look)

    def done(self, items: int, waited: float, seconds: float) -> None:
        """A batch has been processed, in `seconds`. waited: how long its oldest item had waited before, in seconds."""
        self._size.observe(items)
        self._wait.observe(waited)
        self._duration.observe(seconds)


@dataclass(slots=True)
class Use:
    """A use of a database that is going on."""

    is_told: bool
    """Whether the stored bytes are reported: adding them up takes time."""
    stored: int = 0
    """How many bytes it has brought there."""


UNTOLD = nullcontext(Use(is_told=False))
"""A use that is not reported."""


class DatabaseObserver:
    """Watches uses of a database: their durations, and an event of the span in which they happen."""

    def __init__(self, url: str, stats: Stats | None, *, is_traced: bool) -> None:
        self._system, self._attributes = describe(url)
        self._stats = stats
        self._current_span: Callable[[], Span] | None = None
        if is_traced:
            from opentelemetry.trace import get_current_span

            self._current_span = get_current_span

    def using(self, operation: str, sessions: int = 0) -> AbstractContextManager[Use]:
        """Watch one use. sessions: how many it changes, where that is known before."""
        span = self._current_span() if self._current_span is not None else None
        if span is not None and not span.is_recording():
            span = None
        if self._stats is None and span is None:
            return UNTOLD
        return self._watched(operation, sessions, span)

    @contextmanager
    def _watched(self, operation: str, sessions: int, span: "Span | None") -> Iterator[Use]:
        began, fault, use = perf_counter(), None, Use(is_told=True)
        try:
            yield use
        except BaseException as error:
            fault = error
            raise
        finally:
            seconds = perf_counter() - began
            if span is not None:
                span.add_event(operation, self._event(operation, sessions, seconds, use, fault))
            if self._stats is not None:
                self._stats.add("lockstitch.saves.stored", use.stored)
                self._stats.histogram("db.client.operation.duration", self._system, operation).observe(seconds)

    def _event(
        self, operation: str, sessions: int, seconds: float, use: Use, fault: BaseException | None
    ) -> "Attributes":
        attributes = {**self._attributes, "db.operation.name": operation, "db.client.operation.duration": seconds}
        if sessions > 1:
            attributes["db.operation.batch.size"] = sessions
        if use.stored:
            attributes["lockstitch.stored.size"] = use.stored
        if fault is not None:
            attributes["error.type"] = type(fault).__name__
        return attributes


def watch_connections(stats: Stats, pool: Callable[[], tuple[int, int, int] | None]) -> None:
    """Report a pool of connections: how many are in use, how many are idle, and how many there may be."""

    def look(stats: Stats) -> None:
        found = pool()
        if found is not None:
            used, idle, most = found
            stats.set("db.client.connection.count", used, POOL, "used")
            stats.set("db.client.connection.count", idle, POOL, "idle")
            stats.set("db.client.connection.max", most, POOL)

    stats.watch(look)


def describe(url: str) -> "tuple[str, Attributes]":
    """The name of a store's kind of database, and the attributes of its events, which hold no secret."""
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
