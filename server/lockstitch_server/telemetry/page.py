"""The page that Prometheus reads. Needs prometheus-client.

A server may be several processes. Their numbers stand side by side, with the labels `process` and `worker`: Prometheus
adds up better than any of them could.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from lockstitch_server.telemetry.catalogue import METRICS, Metric
from lockstitch_server.telemetry.stats import Source

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
UNITS = {"s": "seconds", "By": "bytes"}
PROCESS = ("process", "worker")


class Page:
    """Serves the numbers of some processes.

    sources: gives them; called in another thread.
    """

    def __init__(self, listen: str, sources: Callable[[], Iterable[Source]]) -> None:
        """Begin to serve. Raises OSError."""
        registry = CollectorRegistry()
        registry.register(_Sources(sources))
        host, _, port = listen.rpartition(":")
        self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop. Blocks for a moment."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Sources(Collector):
    def __init__(self, sources: Callable[[], Iterable[Source]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {}
        for identity, samples in self._sources():
            process = (identity.role, str(identity.worker))
            for name, values, value in samples:
                metric = METRICS[name]
                if name not in families:
                    families[name] = _family(metric)
                _put(families[name], metric, (*values, *process), value)
        yield from families.values()

    def describe(self) -> Iterator[Family]:
        return iter(())


def prometheus_name(metric: Metric) -> str:
    """A metric as OpenTelemetry has it for Prometheus, without the suffix of a counter."""
    name = re.sub(r"[^a-zA-Z0-9]+", "_", metric.name)
    unit = UNITS.get(metric.unit, "")
    return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name


def _family(metric: Metric) -> Family:
    labels = [*(re.sub(r"[^a-zA-Z0-9]+", "_", name) for name in metric.attributes), *PROCESS]
    name, description = prometheus_name(metric), metric.description
    if metric.kind == "counter":
        return CounterMetricFamily(name, description, labels=labels)
    if metric.kind == "histogram":
        return HistogramMetricFamily(name, description, labels=labels)
    return GaugeMetricFamily(name, description, labels=labels)


def _put(family: Family, metric: Metric, labels: Sequence[str], value: float | tuple[tuple[int, ...], float]) -> None:
    if not isinstance(value, tuple):
        assert not isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, value)
        return
    counts, total = value
    assert isinstance(family, HistogramMetricFamily)
    family.add_metric(labels, list(_cumulated(metric, counts)), total)


def _cumulated(metric: Metric, counts: Sequence[int]) -> Iterator[tuple[str, float]]:
    """Upper bounds, and how many values are not above them."""
    total = 0
    for bound, count in zip((*metric.bounds, float("inf")), counts, strict=True):
        total += count
        yield ("+Inf" if bound == float("inf") else str(float(bound)), total)
