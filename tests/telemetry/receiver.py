"""A small collector: takes what exporters send over OTLP/gRPC and keeps it. It can be told to be slow, or to refuse."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Span:
    """A span as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    begun: int
    ended: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    """(trace_id, span_id)"""
    events: dict[str, dict[str, Any]]
    """Attributes of its events, by their names."""
    resource: dict[str, Any]
    is_error: bool


@dataclass
class Receiver:
    """What has come, and how the next requests are treated."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    metrics: list[metrics_pb.ExportMetricsServiceRequest] = field(default_factory=list)
    delay: float = 0.0
    code: grpc.StatusCode | None = None
    closing: threading.Event = field(default_factory=threading.Event)

    def wait(self, found: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, as soon as they are as they should be."""
        until = time.monotonic() + WAIT_SECONDS
        while not found(list(self.spans)):
            assert time.monotonic() < until, [(span.name, span.trace_id) for span in self.spans]
            time.sleep(0.05)
        return list(self.spans)

    def treat(self, context: grpc.ServicerContext) -> None:
        self.closing.wait(self.delay)
        if self.code is not None:
            context.abort(self.code, "so I was told")


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(
        self, request: trace_pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_pb.ExportTraceServiceResponse:
        self._receiver.treat(context)
        self._receiver.spans.extend(spans_in(request))
        return trace_pb.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(
        self, request: metrics_pb.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics_pb.ExportMetricsServiceResponse:
        self._receiver.treat(context)
        self._receiver.metrics.append(request)
        return metrics_pb.ExportMetricsServiceResponse()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A collector on a free port."""
    receiver = Receiver()
    server = grpc.server(ThreadPoolExecutor(8))
    trace_grpc.add_TraceServiceServicer_to_server(_Traces(receiver), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(receiver), server)
    receiver.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        stopped: threading.Event = server.stop(0)
        stopped.wait()


def spans_in(request: Any) -> Iterator[Span]:
    """The spans of an export request, or of anything that has its fields."""
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    attributes_of(span.attributes),
                    tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    {event.name: attributes_of(event.attributes) for event in span.events},
                    resource,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                )


def attributes_of(entries: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in entries}
