"""Spans, made by hand: what the SDK does for a span that anybody may read and change costs ten times as much.

A span is built once, when it has ended, and queued for export: for OTLP as its bytes (`otlp`). Until then it is ids and
a time. Needs OpenTelemetry.
"""

import random
import struct
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from lockstitch_server.telemetry.export import SpanCounts, SpanQueue
from lockstitch_server.telemetry.propagation import Propagation
from lockstitch_server.telemetry.sampling import Sampling

log = structlog.get_logger(__name__)

Attributes = Mapping[str, str | int | float | bool]

CLOSE_SECONDS = 2.0
"""How long the last spans may take to leave."""
ID_BYTES = 16
CARRIED = struct.Struct(">4Q")
"""A span among a server's processes: its trace's id in two halves, its own, and when it began."""
SPAN_AND_TIME = struct.Struct(">2Q")
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSET = Status()
SERVER, CLIENT, INTERNAL = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL

current: ContextVar[SpanContext | None] = ContextVar("lockstitch_span", default=None)
"""The span within which something happens, where that is traced."""


class Begun(NamedTuple):
    """A span that has begun. `parent` None: it begins a trace."""

    span: SpanContext
    parent: SpanContext | None
    at: int
    """In ns since 1970."""


class Form(Protocol):
    """How finished spans are queued and exported."""

    def span(
        self,
        name: str,
        begun: Begun,
        attributes: Attributes,
        kind: SpanKind,
        links: Sequence[Link],
        status: Status,
        at: int,
    ) -> Any:
        """A span that ended then (ns since 1970)."""

    def batch(self, spans: Sequence[Any]) -> Sequence[Any]:
        """What exporters are given."""


class ReadableForm:
    """Spans as any exporter takes them."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope

    def span(
        self,
        name: str,
        begun: Begun,
        attributes: Attributes,
        kind: SpanKind,
        links: Sequence[Link],
        status: Status,
        at: int,
    ) -> ReadableSpan:
        """A span that ended then (ns since 1970)."""
        return ReadableSpan(
            name,
            begun.span,
            begun.parent,
            self._resource,
            attributes,
            (),
            links,
            kind,
            status=status,
            start_time=begun.at,
            end_time=at,
            instrumentation_scope=self._scope,
        )

    def batch(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same."""
        return spans


class Tracer:
    """Makes the spans of one process."""

    def __init__(
        self, sampling: Sampling, propagation: Propagation, form: Form, exporters: Sequence[SpanExporter]
    ) -> None:
        self.propagation = propagation
        self._sampling = sampling
        self._form = form
        self._queue = SpanQueue(exporters, form.batch)

    @property
    def counts(self) -> SpanCounts:
        """What became of its spans."""
        return self._queue.counts

    def begin_call(self, name: str, carrier: Mapping[str, str]) -> Begun | bytes:
        """The span of a call, if it is sampled; else what there is to know of its trace: 16 bytes, or none."""
        return self.begin_within(name, self.propagation.parent(carrier) if carrier else None)

    def begin_within(self, name: str, parent: SpanContext | None) -> Begun | bytes:
        """The same, for a caller's span that is known."""
        if parent is None:
            trace_id = random.getrandbits(128)
            if not self._sampling.root(trace_id, name):
                return b""
            return Begun(_span(trace_id), None, time.time_ns())
        if not self._sampling.with_parent(parent, name):
            return parent.trace_id.to_bytes(ID_BYTES, "big")
        return Begun(_span(parent.trace_id, parent.trace_state), parent, time.time_ns())

    def begin(self, parent: SpanContext, at: int = 0) -> Begun:
        """A span within another that begins now, or began at a time in ns since 1970."""
        return Begun(_span(parent.trace_id, parent.trace_state), parent, at or time.time_ns())

    def end(
        self,
        name: str,
        begun: Begun,
        attributes: Attributes,
        kind: SpanKind = INTERNAL,
        *,
        at: int = 0,
        links: Sequence[Link] = (),
        status: Status = UNSET,
    ) -> None:
        """Send a span that has ended, just now or at a time in ns since 1970."""
        if not self._queue.has_room():
            return
        try:
            span = self._form.span(name, begun, attributes, kind, links, status, at or time.time_ns())
        except Exception as error:  # whatever it is, the call that the span tells of must not fail of it
            self._queue.counts.failed += 1
            log.warning("span_not_encoded", error=type(error).__name__)
        else:
            self._queue.put(span)

    def close(self) -> None:
        """Send what is left; not for ever. Blocks."""
        self._queue.close(CLOSE_SECONDS)


def failed(description: str) -> Status:
    """The status of a span whose work has failed."""
    return Status(StatusCode.ERROR, description)


def carry(begun: Begun) -> bytes:
    """A sampled call's span as bytes. They begin as those of calls that are not sampled: with the trace's id."""
    return begun.span.trace_id.to_bytes(ID_BYTES, "big") + SPAN_AND_TIME.pack(begun.span.span_id, begun.at)


def carried(trace: bytes) -> tuple[SpanContext, int] | None:
    """The same, read: the span and when it began. None for a call that is not sampled."""
    if len(trace) <= ID_BYTES:
        return None
    high, low, span_id, at = CARRIED.unpack(trace)
    return SpanContext(high << 64 | low, span_id, False, SAMPLED), at


def carry_parent(parent: SpanContext) -> bytes:
    """The span of a stream's caller as bytes, for those of its saves that name none. They too begin with the trace."""
    flags = bytes((parent.trace_flags & 0xFF,))
    return parent.trace_id.to_bytes(16, "big") + parent.span_id.to_bytes(8, "big") + flags


def carried_parent(trace: bytes) -> SpanContext | None:
    """The same, read; None where there is none."""
    if len(trace) <= ID_BYTES:
        return None
    trace_id, span_id = int.from_bytes(trace[:16], "big"), int.from_bytes(trace[16:24], "big")
    return SpanContext(trace_id, span_id, True, TraceFlags(trace[24]))


def _span(trace_id: int, state: TraceState | None = None) -> SpanContext:
    return SpanContext(trace_id, random.getrandbits(64) or 1, False, SAMPLED, state)
