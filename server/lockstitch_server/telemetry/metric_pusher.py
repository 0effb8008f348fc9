"""Metrics sent by OTLP, as the OTEL_* variables say. Needs OpenTelemetry.

Samples are converted to the SDK's types when they are sent. All sums are cumulative.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lockstitch_server import __version__
from lockstitch_server.telemetry.catalogue import METRICS, Metric
from lockstitch_server.telemetry.environment import number
from lockstitch_server.telemetry.identity import NAME, Identity, resource
from lockstitch_server.telemetry.stats import Sample, Stats

CUMULATIVE = AggregationTemporality.CUMULATIVE
CLOSE_SECONDS = 2.0

log = structlog.get_logger(__name__)


class MetricPusher:
    """Sends all metrics every OTEL_METRIC_EXPORT_INTERVAL milliseconds, and once more at the end."""

    def __init__(self, identity: Identity, stats: Stats, exporters: Sequence[MetricExporter]) -> None:
        self._stats = stats
        self._exporters = exporters
        self._interval = number("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000
        self._resource = resource(identity)
        self._scope = InstrumentationScope(NAME, __version__)
        self._began = time.time_ns()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lockstitch: metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send the last metrics, for CLOSE_SECONDS at most. Blocks."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        for exporter in self._exporters:
            exporter.shutdown()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._push()
        self._push()

    def _push(self) -> None:
        metrics = to_metrics(self._stats.snapshot(), self._began, time.time_ns())
        scopes = [ScopeMetrics(self._scope, metrics, schema_url="")]
        data = MetricsData([ResourceMetrics(self._resource, scopes, schema_url="")])
        for exporter in self._exporters:
            try:
                done = exporter.export(data) is MetricExportResult.SUCCESS
            except Exception as error:
                done = False
                log.warning("metrics_not_exported", error=type(error).__name__)
            if not done:
                log.debug("metrics_not_taken")


def to_metrics(samples: Sequence[Sample], began: int, now: int) -> list[SdkMetric]:
    """Samples as metrics of the SDK. Times are in ns since 1970."""
    by_name: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_name[sample[0]].append(sample)
    return [_metric(METRICS[name], each, began, now) for name, each in by_name.items()]


def _metric(metric: Metric, samples: Sequence[Sample], began: int, now: int) -> SdkMetric:
    return SdkMetric(metric.name, metric.description, metric.unit, _data(metric, samples, began, now))


def _data(metric: Metric, samples: Sequence[Sample], began: int, now: int) -> Sum | Gauge | Histogram:
    if metric.kind == "histogram":
        return Histogram([_histogram(metric, sample, began, now) for sample in samples], CUMULATIVE)
    points = [
        NumberDataPoint(_attributes(metric, values), began, now, value)
        for _, values, value in samples
        if not isinstance(value, tuple)
    ]
    if metric.kind == "gauge":
        return Gauge(points)
    return Sum(points, CUMULATIVE, is_monotonic=metric.kind == "counter")


def _histogram(metric: Metric, sample: Sample, began: int, now: int) -> HistogramDataPoint:
    _, values, value = sample
    assert isinstance(value, tuple)
    counts, total = value
    return HistogramDataPoint(
        attributes=_attributes(metric, values),
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=sum(counts),
        sum=total,
        bucket_counts=list(counts),
        explicit_bounds=list(metric.bounds),
        min=float("nan"),
        max=float("nan"),
    )


def _attributes(metric: Metric, values: Sequence[str]) -> Mapping[str, str]:
    return {name: value for name, value in zip(metric.attributes, values, strict=True) if value}
