"""Spans, by OpenTelemetry's SDK. Sampling comes first: a call that is not sampled has no span. Needs OpenTelemetry."""

from collections.abc import Callable, Mapping, Sequence
from random import getrandbits
from threading import Thread

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind

from lockstitch_server import __version__
from lockstitch_server.telemetry.identity import NAME
from lockstitch_server.telemetry.propagation import Propagation
from lockstitch_server.telemetry.sampling import Sampling
from lockstitch_server.telemetry.span_export import SpanExport
from lockstitch_server.telemetry.trace_context import ID_BYTES

Attributes = Mapping[str, str | int | float | bool]

CLOSE_SECONDS = 2.0
"""How long the last spans may take to leave."""
NO_PARENT = Context()

log = structlog.get_logger(__name__)


class Tracing:
    """Starts the spans of one process, and sends them when they have ended."""

    def __init__(
        self, sampling: Sampling, propagation: Propagation, resource: Resource, exporters: Sequence[SpanExporter]
    ) -> None:
        self.propagation = propagation
        self.exports = [SpanExport(exporter) for exporter in exporters]
        self._sampling = sampling
        self._ids = _Ids()
        self._provider = TracerProvider(sampling.sampler, resource, shutdown_on_exit=False, id_generator=self._ids)
        for export in self.exports:
            self._provider.add_span_processor(export)
        self._tracer = self._provider.get_tracer(NAME, __version__)

    def start(
        self,
        name: str,
        parent: SpanContext | None,
        attributes: Callable[[], Attributes],
        start_time: int | None = None,
    ) -> Span | None:
        """A server span, which must be ended; None where it is not sampled.

        parent: the caller's span. attributes: only called where the span may be sampled. start_time: in ns since 1970,
        where it is not now.
        """
        trace_id = getrandbits(128) if parent is None else parent.trace_id
        if self._sampling.rules_out(trace_id, parent):
            return None
        context = NO_PARENT
        if parent is None:
            self._ids.trace_id = trace_id  # the one that sampling was decided for
        else:
            context = trace.set_span_in_context(NonRecordingSpan(parent), NO_PARENT)
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes(), start_time=start_time)
        return span if isinstance(span, Span) else None

    def start_child(
        self, name: str, parent: Span, attributes: Attributes, links: Sequence[SpanContext] = ()
    ) -> trace.Span:
        """A span within another one, which must be ended."""
        context = trace.set_span_in_context(parent, NO_PARENT)
        return self._tracer.start_span(name, context, attributes=attributes, links=[Link(each) for each in links])

    def close(self) -> None:
        """Send the spans that are left, for CLOSE_SECONDS at most. Blocks."""
        closing = Thread(target=self._provider.shutdown, name="lockstitch: last spans", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        for export in self.exports:
            export.break_off()
        dropped = sum(export.dropped + export.waiting for export in self.exports)
        failed = sum(export.failed + export.sending for export in self.exports)
        if dropped or failed:
            log.warning("spans_lost", dropped=dropped, failed=failed)


class _Ids(RandomIdGenerator):
    """Gives the next root span the trace id that sampling was decided for."""

    trace_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id


def trace_id_of(span: trace.Span) -> bytes:
    """The id of the trace that a span is a part of."""
    return span.get_span_context().trace_id.to_bytes(ID_BYTES, "big")
