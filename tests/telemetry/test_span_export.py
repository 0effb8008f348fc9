"""Ended spans on their way out: those that the queue has no room for are counted, and none delays the end."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lockstitch_server.telemetry.propagation import Propagation
from lockstitch_server.telemetry.sampling import from_environment
from lockstitch_server.telemetry.span_export import watch_spans
from lockstitch_server.telemetry.stats import Stats
from lockstitch_server.telemetry.tracing import CLOSE_SECONDS, Tracing

FOR_EVER = str(10**9)
SECONDS = 60.0


class Collector(SpanExporter):
    """Keeps what it is given, when it is free to."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.batches: list[int] = []
        self.taken = threading.Condition()
        self.free = threading.Event()
        self.free.set()
        self._result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.free.wait()
        with self.taken:
            self.batches.append(len(spans))
            self.taken.notify_all()
        return self._result

    def shutdown(self) -> None:
        self.free.set()

    def wait(self, spans: int) -> None:
        """Wait until so many spans have come."""
        with self.taken:
            assert self.taken.wait_for(lambda: sum(self.batches) >= spans, SECONDS)


@pytest.fixture(autouse=True)
def queue_of_six(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "6")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", FOR_EVER)


def tracing(collector: SpanExporter) -> Tracing:
    return Tracing(from_environment(), Propagation(), Resource({}), [collector])


def until(holds: Callable[[], bool]) -> None:
    """Wait for another thread."""
    last = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.01)


def end_spans(tracing: Tracing, count: int) -> None:
    for _ in range(count):
        span = tracing.start("Save", None, dict)
        assert span is not None
        span.end()


def test_a_full_batch_leaves_at_once_and_the_rest_at_the_end() -> None:
    collector = Collector()
    traced = tracing(collector)
    end_spans(traced, 5)
    collector.wait(4)
    traced.close()
    until(lambda: traced.exports[0].exported == 5)
    assert collector.batches == [4, 1]
    assert traced.exports[0].waiting == 0


def test_the_others_leave_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    collector = Collector()
    traced = tracing(collector)
    end_spans(traced, 3)
    collector.wait(3)
    traced.close()


def test_those_for_which_there_is_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "6")
    collector = Collector()
    collector.free.clear()
    traced = tracing(collector)
    export = traced.exports[0]
    end_spans(traced, 6)
    until(lambda: export.sending == 6)
    end_spans(traced, 9)
    assert (export.dropped, export.waiting) == (3, 6)
    collector.free.set()
    traced.close()
    until(lambda: export.exported == 12)
    assert export.failed == 0


def test_the_metrics_say_what_became_of_them() -> None:
    collector, stats = Collector(SpanExportResult.FAILURE), Stats()
    traced = tracing(collector)
    watch_spans(stats, traced.exports)
    end_spans(traced, 4)
    until(lambda: traced.exports[0].failed == 4)
    traced.close()
    values = {(name, *attributes): value for name, attributes, value in stats.snapshot()}
    assert values["otel.sdk.exporter.span.exported", "rejected"] == 4
    assert values["otel.sdk.exporter.span.exported", ""] == 0
    assert values["otel.sdk.processor.span.processed", ""] == 4
    assert values["otel.sdk.processor.span.processed", "queue_full"] == 0


class Deaf(SpanExporter):
    """Takes spans and never comes to an end, also not when it is told to."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        threading.Event().wait()
        return SpanExportResult.SUCCESS


def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    traced = tracing(Deaf())
    end_spans(traced, 5)
    began = time.monotonic()
    traced.close()
    assert time.monotonic() - began < CLOSE_SECONDS + SECONDS / 2
