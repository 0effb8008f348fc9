"""Observers of batches of saves, for metrics and traces."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

import structlog

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.planning.operations import Outcome, Result, Saved
from lockstitch_server.saving.save_requests import Item, ParsedSave, RawRequest
from lockstitch_server.telemetry.stats import Number, Stats
from lockstitch_server.telemetry.trace_context import trace_id_in

log = structlog.get_logger(__name__)


class BatchObserver:
    """Observes a batch, step by step. This one measures nothing."""

    def trace_id(self, request: RawRequest, place: int, item: Item) -> bytes:
        """The trace of a save, which its checkpoint keeps; empty: none.

        Called once for each save, before it is validated. place: its index among the saves of its request.
        """
        return trace_id_in(item.trace_context) or request.trace_id

    def request_parsed(self, request: RawRequest, parsed: Sequence[ParsedSave]) -> None:
        """A request has been parsed and validated."""

    @contextmanager
    def committing(self) -> Iterator[None]:
        """The batch is being committed."""
        yield

    def done(self, batch: Sequence[RawRequest], results: Sequence[Sequence[Result | Failure]]) -> None:
        """The batch is committed. results: of the saves of each request."""

    def failed(self, error: BaseException) -> None:
        """The batch has failed as a whole."""


ObserveBatch: TypeAlias = Callable[[Sequence[RawRequest]], BatchObserver]
"""Begins to observe a batch."""

UNOBSERVED = BatchObserver()


def unobserved(batch: Sequence[RawRequest]) -> BatchObserver:
    """Observe nothing."""
    return UNOBSERVED


def safe(observe: ObserveBatch) -> ObserveBatch:
    """Observe by `observe`, whose errors are logged and change nothing for the saves."""
    return observe if observe is unobserved else lambda batch: _SafeObserver(observe, batch)


class _SafeObserver(BatchObserver):
    """Calls another observer, which may fail at any step."""

    def __init__(self, observe: ObserveBatch, batch: Sequence[RawRequest]) -> None:
        self._observer: BatchObserver = UNOBSERVED
        with _logged():
            self._observer = observe(batch)

    def trace_id(self, request: RawRequest, place: int, item: Item) -> bytes:
        with _logged():
            return self._observer.trace_id(request, place, item)
        return super().trace_id(request, place, item)

    def request_parsed(self, request: RawRequest, parsed: Sequence[ParsedSave]) -> None:
        with _logged():
            self._observer.request_parsed(request, parsed)

    @contextmanager
    def committing(self) -> Iterator[None]:
        watching: AbstractContextManager[None] = nullcontext()
        with _logged():
            watching = self._observer.committing()
            watching.__enter__()
        error: BaseException | None = None
        try:
            yield
        except BaseException as failure:
            error = failure
            raise
        finally:
            with _logged(but=error):
                watching.__exit__(type(error) if error is not None else None, error, None)

    def done(self, batch: Sequence[RawRequest], results: Sequence[Sequence[Result | Failure]]) -> None:
        with _logged():
            self._observer.done(batch, results)

    def failed(self, error: BaseException) -> None:
        with _logged():
            self._observer.failed(error)


@contextmanager
def _logged(but: BaseException | None = None) -> Iterator[None]:
    """Log an error instead of raising it. but: the error of the batch, which is not logged."""
    try:
        yield
    except Exception as error:
        if error is not but:
            log.exception("save_observer_failed")


class SaveCounts(BatchObserver):
    """Counts the saves of all batches."""

    def __init__(self, stats: Stats) -> None:
        self._outcomes = {outcome: stats.number("lockstitch.saves", outcome.name.lower()) for outcome in Outcome}
        self._writes = stats.number("lockstitch.saves", "writes")
        self._failed = stats.number("lockstitch.saves", "failed")
        self._received = stats.number("lockstitch.saves.received")

    def done(self, batch: Sequence[RawRequest], results: Sequence[Sequence[Result | Failure]]) -> None:
        self._received.value += sum(len(request.data) for request in batch)
        for saves in results:
            for result in saves:
                self._of(result).value += 1

    def _of(self, result: Result | Failure) -> Number:
        if isinstance(result, Saved):
            return self._outcomes[result.outcome]
        return self._failed if isinstance(result, Failure) else self._writes
