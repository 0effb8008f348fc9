"""Traces and metrics as the OTEL_* variables ask for it. Without them OpenTelemetry is not even imported."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from lockstitch_server import __version__
from lockstitch_server.telemetry.environment import TelemetryError, exporters, load_exporters, require
from lockstitch_server.telemetry.identity import NAME, Identity, resource
from lockstitch_server.telemetry.stats import Stats

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from lockstitch_server.telemetry.push import Pusher
    from lockstitch_server.telemetry.tracing import Form, Tracer

log = structlog.get_logger(__name__)

OTLP = "opentelemetry.exporter.otlp.proto."
"""Where OpenTelemetry's exporters for OTLP are, which share an encoder."""


def create_tracer(identity: Identity, baggage_keys: tuple[str, ...] = ()) -> "Tracer | None":
    """What makes spans; None: nobody wants any. What cannot be done is logged, and the server works without it."""
    if not exporters("traces"):
        return None
    try:
        require()
        from lockstitch_server.telemetry import sampling
        from lockstitch_server.telemetry.propagation import Propagation
        from lockstitch_server.telemetry.tracing import Tracer

        made = load_exporters("traces")
        return Tracer(sampling.from_environment(), Propagation(baggage_keys), _form(identity, made), made)
    except (TelemetryError, ImportError, ValueError) as error:
        log.error("tracing_is_off", reason=str(error))
        return None


def create_pusher(identity: Identity, stats: Stats) -> "Pusher | None":
    """What sends metrics by OTLP; None where that cannot be done, which is logged."""
    try:
        require()
        from lockstitch_server.telemetry.push import Pusher

        return Pusher(identity, stats, load_exporters("metrics"))
    except (TelemetryError, ImportError, ValueError) as error:
        log.error("metrics_are_not_sent", reason=str(error))
        return None


def _form(identity: Identity, made: "Sequence[SpanExporter]") -> "Form":
    """The cheapest form of spans that all exporters take."""
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    about = resource(identity), InstrumentationScope(NAME, __version__)
    if all(type(exporter).__module__.startswith(OTLP) for exporter in made):
        from lockstitch_server.telemetry.otlp import EncodedForm, quicken

        if all(map(quicken, made)):
            return EncodedForm(*about)
    from lockstitch_server.telemetry.tracing import ReadableForm

    return ReadableForm(*about)
