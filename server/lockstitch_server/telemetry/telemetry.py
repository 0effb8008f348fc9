"""Traces and metrics of one process. What is not asked for is None."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lockstitch_server.config import Settings
from lockstitch_server.telemetry.environment import exporters
from lockstitch_server.telemetry.identity import Identity
from lockstitch_server.telemetry.process import watch_process
from lockstitch_server.telemetry.setup import create_metric_pusher, create_tracing
from lockstitch_server.telemetry.stats import Stats

if TYPE_CHECKING:
    from lockstitch_server.telemetry.metric_pusher import MetricPusher
    from lockstitch_server.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The telemetry of a process."""

    identity: Identity
    tracing: "Tracing | None" = None
    stats: Stats | None = None
    pusher: "MetricPusher | None" = None

    def close(self) -> None:
        """Send the last metrics and spans, each for 2 s at most. Blocks."""
        if self.pusher is not None:
            self.pusher.close()
        if self.tracing is not None:
            self.tracing.close()


NO_TELEMETRY = Telemetry(Identity())
"""No traces and no metrics."""


def create_telemetry(settings: Settings, identity: Identity) -> Telemetry:
    """Set up what the settings and the OTEL_* variables ask for. What cannot be set up is logged and left out."""
    tracing = create_tracing(identity, settings.baggage_keys)
    pushed = bool(exporters("metrics"))
    if not (pushed or settings.metrics_listen or settings.http.metrics):
        return Telemetry(identity, tracing)
    stats = Stats()
    watch_process(stats)
    if tracing is not None:
        from lockstitch_server.telemetry.span_export import watch_spans

        watch_spans(stats, tracing.exports)
    return Telemetry(identity, tracing, stats, create_metric_pusher(identity, stats) if pushed else None)
