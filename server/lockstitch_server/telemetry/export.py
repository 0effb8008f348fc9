"""Finished spans on their way out: bounded, in a thread of their own. Nobody ever waits for a collector."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lockstitch_server.telemetry.environment import number
from lockstitch_server.telemetry.stats import Stats

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SpanCounts:
    """What became of finished spans, since the process began."""

    exported: int = 0
    dropped: int = 0
    """For want of room: the collector is too slow, or away."""
    failed: int = 0
    """The collector did not take them."""

    def tell(self, stats: Stats) -> None:
        """Put them among the metrics."""
        stats.set("otel.sdk.processor.span.processed", self.exported + self.failed, "")
        stats.set("otel.sdk.processor.span.processed", self.dropped, "queue_full")
        stats.set("otel.sdk.exporter.span.exported", self.exported, "")
        stats.set("otel.sdk.exporter.span.exported", self.failed, "rejected")


class SpanQueue:
    """Hands spans to exporters, batch by batch; counts those that are lost.

    OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE and OTEL_BSP_SCHEDULE_DELAY bound it.
    """

    def __init__(self, exporters: Sequence[SpanExporter], form_batch: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self.counts = SpanCounts()
        self.room = number("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        self._exporters = exporters
        self._form_batch = form_batch
        self._batch = min(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), self.room)
        self._delay = number("OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000
        self._spans: deque[Any] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="lockstitch: spans", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._spans)

    def room_for(self, spans: int) -> int:
        """How many of so many finished spans can be put. Those that cannot are counted."""
        free = self.room - len(self._spans)
        if spans <= free:
            return spans
        self.counts.dropped += spans - max(0, free)
        return max(0, free)

    def put(self, spans: Iterable[Any]) -> None:
        """Take finished spans, for which there is room. Never waits."""
        self._spans.extend(spans)
        if len(self._spans) >= self._batch and not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what is left, for as long as this; then let go."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        for exporter in self._exporters:
            exporter.shutdown()
        self.counts.dropped += len(self._spans)
        if self.counts.dropped or self.counts.failed:
            log.warning("spans_lost", dropped=self.counts.dropped, failed=self.counts.failed)

    def _run(self) -> None:
        while not self._closing:
            is_full = self._wake.wait(self._delay)
            self._wake.clear()
            if is_full:
                self._send_full_batches()
            else:
                self._send(len(self._spans))
        self._send(len(self._spans))

    def _send_full_batches(self) -> None:
        """Leave the rest for later: small batches cost as much as large ones, and while more comes they had no end."""
        while len(self._spans) >= self._batch and not self._closing:
            self._send(self._batch)

    def _send(self, spans: int) -> None:
        for first in range(0, spans, self._batch):
            size = min(self._batch, spans - first)
            batch = self._form_batch([self._spans.popleft() for _ in range(size)])
            for exporter in self._exporters:
                self._export(exporter, batch)

    def _export(self, exporter: SpanExporter, batch: Sequence[Any]) -> None:
        try:
            done = exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:
            done = False
            log.warning("spans_not_exported", error=type(error).__name__)
        if done:
            self.counts.exported += len(batch)
        else:
            self.counts.failed += len(batch)
