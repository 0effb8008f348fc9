"""Spans, made by hand: what the SDK does for a span that anybody may read and change costs ten times as much.

A span is built once, when it has ended, and queued for export: for OTLP as its bytes (`otlp`). Until then it is ids and
a time. Needs OpenTelemetry.
"""

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import getrandbits
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
ID_BYTES, SPAN_ID_BYTES = 16, 8
CARRIED_BYTES = ID_BYTES + SPAN_ID_BYTES
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSET = Status()
SERVER, CLIENT, INTERNAL = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL


class Begun(NamedTuple):
    """A span that has begun. Ids are bytes, as they are sent."""

    trace_id: bytes
    span_id: bytes
    at: int
    """In ns since 1970."""
    parent_id: bytes = b""
    """Empty: it begins a trace."""
    is_remote: bool = False
    """Whether its parent is of somebody else's."""
    state: TraceState | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sort:
    """What many spans have in common. To be made once: forms keep what they make of it, for it alone."""

    name: str
    kind: SpanKind = INTERNAL
    attributes: Attributes = field(default_factory=dict)


Row = Sequence[tuple[Begun, int, int]]
"""Spans, each by the one that it is in, and when it began and ended."""

current: ContextVar[Begun | None] = ContextVar("lockstitch_span", default=None)
"""The span within which something happens, where that is traced."""


class Form(Protocol):
    """How finished spans are queued and exported."""

    def span(
        self, sort: Sort, begun: Begun, attributes: Attributes, links: Sequence[Begun], status: Status, at: int
    ) -> Any:
        """A span that ended then (ns since 1970)."""

    def row(self, sort: Sort, spans: Row, links: Sequence[Begun]) -> Sequence[Any]:
        """Spans that differ in nothing else."""

    def batch(self, spans: Sequence[Any]) -> Sequence[Any]:
        """What exporters are given."""


class ReadableForm:
    """Spans as any exporter takes them."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope

    def span(
        self, sort: Sort, begun: Begun, attributes: Attributes, links: Sequence[Begun], status: Status, at: int
    ) -> ReadableSpan:
        """A span that ended then (ns since 1970)."""
        return ReadableSpan(
            sort.name,
            _context(begun, begun.span_id),
            _context(begun, begun.parent_id, is_remote=begun.is_remote) if begun.parent_id else None,
            self._resource,
            {**sort.attributes, **attributes},
            (),
            [Link(_context(link, link.span_id)) for link in links],
            sort.kind,
            status=status,
            start_time=begun.at,
            end_time=at,
            instrumentation_scope=self._scope,
        )

    def row(self, sort: Sort, spans: Row, links: Sequence[Begun]) -> Sequence[ReadableSpan]:
        """Spans that differ in nothing else."""
        return [self.span(sort, within(parent, at), {}, links, UNSET, end) for parent, at, end in spans]

    def batch(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same."""
        return spans


class Tracer:
    """Makes the spans of one process."""

    def __init__(
        self, sampling: Sampling, propagation: Propagation, form: Form, exporters: Sequence[SpanExporter]
    ) -> None:
        self.propagation = propagation
        self.passes = sampling.passes
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

    def begin_within(self, name: str, parent: SpanContext | None, at: int = 0) -> Begun | bytes:
        """The same, for a caller's span that is known. at: when it began, if not now."""
        if parent is None:
            if not (root := self._sampling.root(name)):
                return b""
            return Begun(root.to_bytes(ID_BYTES, "big"), new_span_id(), at or time.time_ns())
        trace_id = parent.trace_id.to_bytes(ID_BYTES, "big")
        if not self._sampling.with_parent(parent, name):
            return trace_id
        parent_id = parent.span_id.to_bytes(SPAN_ID_BYTES, "big")
        state = parent.trace_state or None
        return Begun(trace_id, new_span_id(), at or time.time_ns(), parent_id, parent.is_remote, state)

    def current(self) -> Begun | None:
        """The span within which the caller is."""
        return current.get()

    def begin(self, parent: Begun) -> Begun:
        """A span within another that begins now."""
        return within(parent, time.time_ns())

    def end(
        self,
        sort: Sort,
        begun: Begun,
        attributes: Attributes,
        *,
        at: int = 0,
        links: Sequence[Begun] = (),
        fault: str = "",
    ) -> None:
        """Send a span that has ended, just now or at a time in ns since 1970. fault: why its work has failed."""
        if not self._queue.room_for(1):
            return
        try:
            status = failed(fault) if fault else UNSET
            span = self._form.span(sort, begun, attributes, links, status, at or time.time_ns())
        except Exception as error:  # whatever it is, the call that the span tells of must not fail of it
            self._queue.counts.failed += 1
            log.warning("span_not_encoded", error=type(error).__name__)
        else:
            self._queue.put((span,))

    def end_row(self, sort: Sort, spans: Row, links: Sequence[Begun] = ()) -> None:
        """Send spans that have ended and differ in ids and times only."""
        spans = spans[: self._queue.room_for(len(spans))]
        try:
            row = self._form.row(sort, spans, links)
        except Exception as error:  # see `end`
            self._queue.counts.failed += len(spans)
            log.warning("span_not_encoded", error=type(error).__name__)
        else:
            self._queue.put(row)

    def close(self) -> None:
        """Send what is left; not for ever. Blocks."""
        self._queue.close(CLOSE_SECONDS)


def within(parent: Begun, at: int) -> Begun:
    """A span within another that begins at a time in ns since 1970."""
    return Begun(parent.trace_id, new_span_id(), at, parent.span_id, False, parent.state)


def failed(description: str) -> Status:
    """The status of a span whose work has failed."""
    return Status(StatusCode.ERROR, description)


def carry(begun: Begun) -> bytes:
    """A sampled call's span as bytes. They begin as those of calls that are not sampled: with the trace's id."""
    return begun.trace_id + begun.span_id + begun.at.to_bytes(8, "big")


def carried(trace: bytes) -> Begun | None:
    """The same, read, as far as it went along. None for a call that is not sampled."""
    if len(trace) <= ID_BYTES:
        return None
    return Begun(trace[:ID_BYTES], trace[ID_BYTES:CARRIED_BYTES], int.from_bytes(trace[CARRIED_BYTES:], "big"))


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


def new_span_id() -> bytes:
    """A random one."""
    return getrandbits(64).to_bytes(SPAN_ID_BYTES, "big")


def _context(begun: Begun, span_id: bytes, *, is_remote: bool = False) -> SpanContext:
    """A span's or its parent's, as OpenTelemetry has it."""
    ids = int.from_bytes(begun.trace_id, "big"), int.from_bytes(span_id, "big")
    return SpanContext(*ids, is_remote, SAMPLED, begun.state)
