"""Spans as OTLP has them: the same that OpenTelemetry's own encoder makes of them, and by both of its exporters."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode, TraceState

from lockstitch_server.telemetry.otlp import EncodedForm, UnusualSpanError, encoded_span
from lockstitch_server.telemetry.propagation import Propagation
from lockstitch_server.telemetry.sampling import from_environment
from lockstitch_server.telemetry.tracing import UNSET, Begun, ReadableForm, Sort, Tracer, failed, within
from tests.support.paths import ROOT

RESOURCE = Resource({"service.name": "lockstitch", "process.pid": 4321}, "https://opentelemetry.io/schemas/1.40.0")
SCOPE = InstrumentationScope("lockstitch", "1.2.3")
INTS = st.integers(-(1 << 63), (1 << 63) - 1)
TIMES = st.integers(0, (1 << 64) - 1)
NAMES = st.text(max_size=200)
KEYS = st.text(min_size=1, max_size=40)
VALUES = st.text(max_size=300) | INTS | st.integers(0, 300) | st.booleans() | st.floats(allow_nan=False)
STATES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True), st.just("x-1"), max_size=3)
STATUSES = st.just(UNSET) | st.just(Status(StatusCode.OK)) | NAMES.map(failed)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=12)
EVERY_ZERO: dict[str, Any] = {"a": 1, "b": True, "c": 1.0, "d": "1", "e": -0.0, "f": 0.0, "g": 0, "h": False, "i": ""}


class Ended(NamedTuple):
    """What a span is made of."""

    sort: Sort
    begun: Begun
    attributes: dict[str, Any]
    links: list[Begun]
    status: Status
    at: int


SPAN_IDS = st.binary(min_size=8, max_size=8)
BEGUN = st.builds(
    Begun,
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=SPAN_IDS,
    at=TIMES,
    parent_id=st.just(b"") | SPAN_IDS,
    is_remote=st.booleans(),
    state=st.none() | STATES.map(lambda entries: TraceState(list(entries.items()))),
).map(lambda begun: begun if begun.parent_id else begun._replace(is_remote=False))
SORTS = st.builds(
    Sort, NAMES, st.sampled_from(SpanKind), st.dictionaries(KEYS.map("sort.{}".format), VALUES, max_size=4)
)
LINKED = st.lists(BEGUN, max_size=3)
ENDED = st.builds(Ended, SORTS, BEGUN, ATTRIBUTES, LINKED, STATUSES, TIMES)
USUAL = Ended(Sort("queue"), Begun(bytes(15) + b"1", bytes(7) + b"2", 1), {}, [], UNSET, 2)


def stock(spans: Sequence[Ended]) -> ExportTraceServiceRequest:
    return encode_spans([ReadableForm(RESOURCE, SCOPE).span(*span) for span in spans])


def request_of(spans: Sequence[bytes]) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(sent(EncodedForm(RESOURCE, SCOPE).batch(spans).request()))


def sent(message: Message) -> bytes:
    """A message as gRPC is told to serialize it."""
    return ExportTraceServiceRequest.SerializeToString(message)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENDED, min_size=1, max_size=4))
@example([USUAL._replace(attributes=EVERY_ZERO)])
@example([USUAL._replace(sort=Sort("call", SpanKind.SERVER, EVERY_ZERO))])
def test_spans_are_encoded_as_opentelemetry_does(spans: Sequence[Ended]) -> None:
    request = request_of([encoded_span(*span) for span in spans])
    assert request == stock(spans)
    assert request.SerializeToString(deterministic=True) == stock(spans).SerializeToString(deterministic=True)


@settings(max_examples=150, deadline=None)
@given(SORTS, st.lists(st.tuples(BEGUN, TIMES, TIMES), min_size=1, max_size=4), LINKED)
def test_so_are_those_in_a_row(sort: Sort, row: list[tuple[Begun, int, int]], links: list[Begun]) -> None:
    request = request_of(EncodedForm(RESOURCE, SCOPE).row(sort, row, links))
    spans = request.resource_spans[0].scope_spans[0].spans
    expected = [
        Ended(sort, within(begun, at)._replace(span_id=span.span_id), {}, links, UNSET, end)
        for span, (begun, at, end) in zip(spans, row, strict=True)
    ]
    assert request == stock(expected)
    assert len({span.span_id for span in spans}) == len(row)


@pytest.mark.parametrize(
    "attributes",
    [
        {"tags": ("a", "b"), "step": 3},
        {"raw": b"\xff"},
        {"step": 1 << 64, "other": 1},
        {"session": "\ud800", "other": 1},
    ],
    ids=["a list", "bytes", "a great integer", "half a character"],
)
def test_what_is_unusual_is_encoded_too(attributes: dict[str, Any]) -> None:
    span = USUAL._replace(attributes=attributes)
    with pytest.raises((UnusualSpanError, UnicodeEncodeError)):
        encoded_span(*span)
    form = EncodedForm(RESOURCE, SCOPE)
    assert request_of([form.span(*span), form.span(*USUAL)]) == stock([span, USUAL])


def test_what_cannot_be_encoded_is_counted_and_fails_nobody() -> None:
    tracer = Tracer(from_environment(), Propagation(), EncodedForm(RESOURCE, SCOPE), [])
    bad = Sort("\ud800")
    try:
        tracer.end(bad, USUAL.begun, {})
        tracer.end_row(bad, [(USUAL.begun, 1, 2), (USUAL.begun, 1, 2)])
        assert tracer.counts.failed == 3
    finally:
        tracer.close()


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_both_exporters_take_it(transport: str) -> None:
    # In a process of its own: an exporter's encoder is changed for the whole process.
    program = f"""
from opentelemetry.exporter.otlp.proto.{transport}.trace_exporter import OTLPSpanExporter
from lockstitch_server.telemetry import otlp
from tests.telemetry.test_otlp import RESOURCE, SCOPE, USUAL
exporter = OTLPSpanExporter(endpoint="http://127.0.0.1:1", timeout=0.5)
assert otlp.quicken(exporter)
form = otlp.EncodedForm(RESOURCE, SCOPE)
batch, seen = form.batch([form.span(*USUAL), form.span(*USUAL)]), []
original = batch.request
batch.request = lambda: seen.append(original()) or seen[-1]
exporter.export(batch)
request = otlp.ExportTraceServiceRequest.FromString(seen[0].SerializePartialToString())
print(len(request.resource_spans[0].scope_spans[0].spans))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "2"
