"""What watches a batch of saves. The base class does nothing, and stands where nothing is measured."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.planning.operations import Outcome, Result, Saved
from lockstitch_server.saving.save_requests import Item, ParsedRequest, RawRequest
from lockstitch_server.telemetry.stats import Number, Stats
from lockstitch_server.telemetry.trace_context import trace_id_in


class BatchObserver:
    """Watches one batch, step by step."""

    def trace_id(self, request: RawRequest, place: int, item: Item) -> bytes:
        """The trace that a save belongs to, which its checkpoint keeps; empty where there is none.

        Called once for each save that is decoded, before it is validated and taken apart. place: its index among the
        saves of its request.
        """
        return trace_id_in(item.trace_context) or request.trace_id

    def request_parsed(self, request: RawRequest, parsed: Sequence[ParsedRequest]) -> None:
        """A request has been parsed and validated."""

    @contextmanager
    def committing(self) -> Iterator[None]:
        """The batch is being committed."""
        yield

    def done(self, results: Sequence[Sequence[Result | Failure]]) -> None:
        """All is done: the results of each request."""

    def failed(self, error: BaseException) -> None:
        """The batch has failed as a whole."""


ObserveBatch: TypeAlias = Callable[[Sequence[RawRequest]], BatchObserver]
"""Begins to watch a batch."""

UNOBSERVED = BatchObserver()


def unobserved(batch: Sequence[RawRequest]) -> BatchObserver:
    """Watch nothing."""
    return UNOBSERVED


class SaveCounts:
    """Counts saves."""

    def __init__(self, stats: Stats) -> None:
        self._outcomes = {outcome: stats.number("lockstitch.saves", outcome.name.lower()) for outcome in Outcome}
        self._writes = stats.number("lockstitch.saves", "writes")
        self._failed = stats.number("lockstitch.saves", "failed")
        self._received = stats.number("lockstitch.saves.received")

    def done(self, batch: Sequence[RawRequest], results: Sequence[Sequence[Result | Failure]]) -> None:
        """A batch has had these results."""
        self._received.value += sum(len(request.data) for request in batch)
        for many in results:
            for result in many:
                self._of(result).value += 1

    def _of(self, result: Result | Failure) -> Number:
        if isinstance(result, Saved):
            return self._outcomes[result.outcome]
        return self._failed if isinstance(result, Failure) else self._writes


class CountedBatch(BatchObserver):
    """Counts the saves of a batch."""

    def __init__(self, counts: SaveCounts, batch: Sequence[RawRequest]) -> None:
        self._counts = counts
        self._batch = batch

    def done(self, results: Sequence[Sequence[Result | Failure]]) -> None:
        self._counts.done(self._batch, results)
