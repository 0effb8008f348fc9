"""Spans as OTLP has them: the same that OpenTelemetry's own encoder makes of them, and by both of its exporters."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from lockstitch_server.telemetry.otlp import EncodedForm, UnusualSpanError, encoded_span
from lockstitch_server.telemetry.propagation import Propagation
from lockstitch_server.telemetry.sampling import from_environment
from lockstitch_server.telemetry.tracing import UNSET, Begun, ReadableForm, Tracer, failed
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
EVERY_ZERO = {"a": 1, "b": True, "c": 1.0, "d": "1", "e": -0.0, "f": 0.0, "g": 0, "h": False, "i": ""}


class Ended(NamedTuple):
    """What a span is made of."""

    name: str
    begun: Begun
    attributes: dict[str, Any]
    kind: SpanKind
    links: list[Link]
    status: Status
    at: int


@st.composite
def contexts(draw: st.DrawFn) -> SpanContext:
    ids = draw(st.integers(0, (1 << 128) - 1)), draw(st.integers(0, (1 << 64) - 1))
    return SpanContext(*ids, draw(st.booleans()), TraceFlags(1), TraceState(list(draw(STATES).items())))


ENDED = st.builds(
    Ended,
    name=NAMES,
    begun=st.builds(Begun, contexts(), st.none() | contexts(), TIMES),
    attributes=st.dictionaries(KEYS, VALUES, max_size=12),
    kind=st.sampled_from(SpanKind),
    links=st.lists(contexts().map(Link), max_size=3),
    status=STATUSES,
    at=TIMES,
)
USUAL = Ended("queue", Begun(SpanContext(1, 2, False), None, 1), {}, SpanKind.INTERNAL, [], UNSET, 2)


def stock(spans: Sequence[Ended]) -> ExportTraceServiceRequest:
    return encode_spans([ReadableForm(RESOURCE, SCOPE).span(*span) for span in spans])


@settings(max_examples=150, deadline=None)
@given(st.lists(ENDED, min_size=1, max_size=4))
@example([USUAL._replace(attributes=EVERY_ZERO)])
def test_spans_are_encoded_as_opentelemetry_does(spans: Sequence[Ended]) -> None:
    encoded = [encoded_span(*span) for span in spans]
    request = EncodedForm(RESOURCE, SCOPE).batch(encoded).request()
    assert request == stock(spans)
    assert request.SerializeToString(deterministic=True) == stock(spans).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": {"tags": ("a", "b"), "step": 3}},
        {"attributes": {"raw": b"\xff"}},
        {"attributes": {"step": 1 << 64, "other": 1}},
        {"attributes": {"session": "\ud800", "other": 1}},
        {"links": [Link(SpanContext(1, 2, True), {"why": "x"})]},
    ],
    ids=["a list", "bytes", "a great integer", "half a character", "a link with attributes"],
)
def test_what_is_unusual_is_encoded_too(fields: dict[str, Any]) -> None:
    span = USUAL._replace(**fields)
    with pytest.raises((UnusualSpanError, UnicodeEncodeError)):
        encoded_span(*span)
    form = EncodedForm(RESOURCE, SCOPE)
    assert form.batch([form.span(*span), form.span(*USUAL)]).request() == stock([span, USUAL])


def test_what_cannot_be_encoded_is_counted_and_fails_nobody() -> None:
    tracer = Tracer(from_environment(), Propagation(), EncodedForm(RESOURCE, SCOPE), [])
    try:
        tracer.end("\ud800", USUAL.begun, {})
        assert tracer.counts.failed == 1
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
print(len(seen[0].resource_spans[0].scope_spans[0].spans))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "2"
