"""Serves metrics to Prometheus. Needs prometheus-client.

A server may be several processes. Each has its own series, told apart by the label `worker`: Prometheus adds them up.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from socket import AF_INET6
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from lockstitch_server.telemetry.catalogue import METRICS, Metric
from lockstitch_server.telemetry.stats import Source

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
UNITS = {"s": "seconds", "By": "bytes"}
WORKER = "worker"
PATH = "/metrics"


class PrometheusServer:
    """Serves the metrics of some processes.

    sources: returns their samples; called in another thread.
    """

    def __init__(self, listen: str, sources: Callable[[], Iterable[Source]]) -> None:
        """Start to serve. Raises OSError."""
        host, _, port = listen.rpartition(":")
        kind = _ServerV6 if ":" in host else _Server
        self._server = make_server(host.strip("[]"), int(port), _only_metrics(_registry(sources)), kind, _SilentHandler)
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop. Blocks for a moment."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def metrics_text(sources: Callable[[], Iterable[Source]]) -> tuple[str, bytes]:
    """The metrics of some processes as Prometheus reads them: the media type, and the text."""
    return CONTENT_TYPE_LATEST, generate_latest(_registry(sources))


def _registry(sources: Callable[[], Iterable[Source]]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Sources(sources))
    return registry


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = AF_INET6


class _SilentHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _only_metrics(registry: CollectorRegistry) -> "WSGIApplication":
    """Serve /metrics only: a mistyped path is an error, not an empty success."""
    metrics: WSGIApplication = make_wsgi_app(registry)

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return metrics(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"Metrics are served at {PATH}.\n".encode()]

    return answer


class _Sources(Collector):
    def __init__(self, sources: Callable[[], Iterable[Source]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {}
        for identity, samples in self._sources():
            worker = str(identity.worker)
            for name, values, value in samples:
                metric = METRICS[name]
                if name not in families:
                    families[name] = _family(metric)
                _put(families[name], metric, (*values, worker), value)
        yield from families.values()

    def describe(self) -> Iterator[Family]:
        return iter(())


def prometheus_name(metric: Metric) -> str:
    """The name of a metric in Prometheus, without the suffix of a counter."""
    name = re.sub(r"[^a-zA-Z0-9]+", "_", metric.name)
    unit = UNITS.get(metric.unit, "")
    return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name


def _family(metric: Metric) -> Family:
    labels = [*(re.sub(r"[^a-zA-Z0-9]+", "_", name) for name in metric.attributes), WORKER]
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
    """Upper bounds, and how many values are at or below each."""
    total = 0
    for bound, count in zip((*metric.bounds, float("inf")), counts, strict=True):
        total += count
        yield ("+Inf" if bound == float("inf") else str(float(bound)), total)
