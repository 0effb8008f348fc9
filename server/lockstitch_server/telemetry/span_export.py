"""Ended spans on their way to a collector, by OpenTelemetry's batch processor, and how many are lost. Needs the SDK."""

from collections.abc import Sequence

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from lockstitch_server.telemetry.environment import number
from lockstitch_server.telemetry.stats import Stats

QUEUE_SIZE = 2048

log = structlog.get_logger(__name__)


class SpanExport(BatchSpanProcessor):
    """The SDK's batch processor, which counts what it drops. Nobody ever waits for a collector.

    The SDK drops spans from a full queue without a count, so a span is counted and dropped before it gets there.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        """Raises TelemetryError, ValueError for OTEL_BSP_* variables that cannot be."""
        size = number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE)
        batch = min(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), size)
        self._exporter = _CountingExporter(exporter)
        self._size = size
        self._accepted = self.dropped = 0
        super().__init__(self._exporter, max_queue_size=size, max_export_batch_size=batch)

    @property
    def exported(self) -> int:
        """How many spans a collector has taken."""
        return self._exporter.exported

    @property
    def failed(self) -> int:
        """How many spans a collector did not take."""
        return self._exporter.failed

    @property
    def sending(self) -> int:
        """How many spans are being sent."""
        return self._exporter.begun - self._exporter.exported - self._exporter.failed

    @property
    def waiting(self) -> int:
        """How many spans wait to be sent."""
        return self._accepted - self._exporter.begun

    def on_end(self, span: ReadableSpan) -> None:
        if self.waiting >= self._size:
            self.dropped += 1
        elif span.context is not None and span.context.trace_flags.sampled:
            self._accepted += 1
            super().on_end(span)

    def break_off(self) -> None:
        """Stop sending: what is not sent by now is lost."""
        self._exporter.shutdown()


class _CountingExporter(SpanExporter):
    """Another exporter, whose results are counted."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_shut_down = False
        self.begun = self.exported = self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.begun += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            log.warning("spans_not_exported", error=type(error).__name__)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        if not self._is_shut_down:
            self._is_shut_down = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def watch_spans(stats: Stats, exports: Sequence[SpanExport]) -> None:
    """Report what became of ended spans."""

    def look(stats: Stats) -> None:
        exported = sum(export.exported for export in exports)
        failed = sum(export.failed for export in exports)
        stats.set("otel.sdk.processor.span.processed", exported + failed, "")
        stats.set("otel.sdk.processor.span.processed", sum(export.dropped for export in exports), "queue_full")
        stats.set("otel.sdk.exporter.span.exported", exported, "")
        stats.set("otel.sdk.exporter.span.exported", failed, "rejected")

    stats.watch(look)
