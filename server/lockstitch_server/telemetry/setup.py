"""Traces and metrics as the OTEL_* variables ask for them. Without these variables, OpenTelemetry is not imported."""

from typing import TYPE_CHECKING

import structlog

from lockstitch_server.telemetry.environment import TelemetryError, exporters, load_exporters, require
from lockstitch_server.telemetry.identity import Identity, resource
from lockstitch_server.telemetry.stats import Stats

if TYPE_CHECKING:
    from lockstitch_server.telemetry.metric_pusher import MetricPusher
    from lockstitch_server.telemetry.tracing import Tracing

log = structlog.get_logger(__name__)


def create_tracing(identity: Identity, baggage_keys: tuple[str, ...] = ()) -> "Tracing | None":
    """Tracing as the OTEL_* variables ask for it; None where they do not.

    What cannot be set up is logged, and the server works without it.
    """
    if not exporters("traces"):
        return None
    try:
        require()
        from lockstitch_server.telemetry import sampling
        from lockstitch_server.telemetry.propagation import Propagation
        from lockstitch_server.telemetry.tracing import Tracing

        sampled, propagation = sampling.from_environment(), Propagation(baggage_keys)
        return Tracing(sampled, propagation, resource(identity), load_exporters("traces"))
    except (TelemetryError, ImportError, ValueError) as error:
        log.error("tracing_is_off", reason=str(error))
        return None


def create_metric_pusher(identity: Identity, stats: Stats) -> "MetricPusher | None":
    """Sends metrics by OTLP; None where that cannot be set up, which is logged."""
    try:
        require()
        from lockstitch_server.telemetry.metric_pusher import MetricPusher

        return MetricPusher(identity, stats, load_exporters("metrics"))
    except (TelemetryError, ImportError, ValueError) as error:
        log.error("metrics_are_not_sent", reason=str(error))
        return None
