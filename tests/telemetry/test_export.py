"""Spans on their way out: full batches at once, the others together later, and no more than there is room for."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lockstitch_server.telemetry.export import SpanQueue

FOR_EVER = str(10**9)
SECONDS = 60.0


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.taken = threading.Condition()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.taken:
            self.batches.append(list(spans))
            self.taken.notify_all()
        return SpanExportResult.SUCCESS

    def wait(self, spans: int) -> list[int]:
        """Wait for so many spans. Gives the sizes of their batches."""
        with self.taken:
            assert self.taken.wait_for(lambda: sum(map(len, self.batches)) >= spans, SECONDS)
            return list(map(len, self.batches))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    return Kept()


def queue(exporter: SpanExporter) -> SpanQueue:
    return SpanQueue([exporter], list)


def test_only_full_batches_leave_at_once(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", FOR_EVER)
    spans = queue(kept)
    spans.put("abcde")
    assert kept.wait(4) == [4]
    assert len(spans) == 1
    spans.put("fghij")
    assert kept.wait(8) == [4, 4]
    spans.close(SECONDS)
    assert kept.wait(10) == [4, 4, 2]
    assert [span for batch in kept.batches for span in batch] == list("abcdefghij")
    assert spans.counts.exported == 10


def test_the_others_leave_after_a_while(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    spans = queue(kept)
    spans.put("abc")
    assert sum(kept.wait(3)) == 3
    spans.close(SECONDS)


def test_what_there_is_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", FOR_EVER)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "6")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "6")
    spans = queue(kept)
    assert spans.room_for(5) == 5
    spans.put("abcde")
    assert spans.room_for(3) == 1
    assert spans.counts.dropped == 2
    spans.close(SECONDS)
