"""Spans as OTLP has them, in a fraction of the time that OpenTelemetry's own encoder takes. Needs its exporter.

Of a server's spans, resource, scope, names and most attributes are always the same, so their bytes are made once.
A span is encoded when it ends, while the processor's caches still have it.
"""

import struct
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, overload

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status

from lockstitch_server.core.wire import VARINT, delimited, tag, text, varint
from lockstitch_server.telemetry.tracing import UNSET, Attributes, Begun, ReadableForm, Row, Sort, new_span_id, within

NAME, KIND = Span.NAME_FIELD_NUMBER, Span.KIND_FIELD_NUMBER
ATTRIBUTES, LINKS, STATUS = Span.ATTRIBUTES_FIELD_NUMBER, Span.LINKS_FIELD_NUMBER, Span.STATUS_FIELD_NUMBER
SPANS = ScopeSpans.SPANS_FIELD_NUMBER
TRACE_STATE = Span.TRACE_STATE_FIELD_NUMBER
KEY, VALUE = 1, 2
"""Of an attribute."""
STRING, BOOL, INT, DOUBLE = 1, 2, 3, 4
"""Of an attribute's value."""
TRACE_ID_TAG, SPAN_ID_TAG, PARENT_ID_TAG = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
"""With lengths. Links have the first two alike."""
TIMES_AND_FLAGS = struct.Struct("<BQBQHI")
"""Begin, end and flags, each with the tag of its field."""
BEGIN_TAG, END_TAG, FLAGS_TAG = 7 << 3 | 1, 8 << 3 | 1, 0x0185
ROW = "<{}s16s2s8sBQBQ{}s8s{}s"
"""A span of a row: trace id, span id, begin, end, parent's id and links, with what stands between them."""
LOCAL, REMOTE = 0x100, 0x300
"""Flags: whether the parent, or what is linked to, is of another process."""
LINK_FLAGS = struct.pack("<BI", 6 << 3 | 5, LOCAL)
LINK_TAG = tag(LINKS) + varint(len(TRACE_ID_TAG + SPAN_ID_TAG + LINK_FLAGS) + 16 + 8)
INTS = range(-(1 << 63), 1 << 63)
MOST_REMEMBERED = 2048
"""Attributes whose bytes are kept."""


class UnusualSpanError(ValueError):
    """There is something about a span that is left to OpenTelemetry's own encoder."""


class EncodedSpans(Sequence[bytes]):
    """Spans on their way through an exporter, with what is around them."""

    def __init__(self, spans: Sequence[bytes], resource: bytes, scope: bytes) -> None:
        self._spans = spans
        self._resource = resource
        self._scope = scope

    def request(self) -> Message:
        """As exporters send them: an ExportTraceServiceRequest, of which they want no more than its bytes.

        A message without any fields has them soonest: it keeps what it does not know as it is.
        """
        return Empty.FromString(delimited(1, self._resource, delimited(2, self._scope, *self._spans)))

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        return self._spans[index]

    def __len__(self) -> int:
        return len(self._spans)


class EncodedForm:
    """A process's spans are queued as bytes: nothing of them is left for the garbage collector to look at."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._readable = ReadableForm(resource, scope)
        (around,) = self._stock(Sort(""), Begun(bytes(16), bytes(8), 0), {}, (), UNSET, 0).resource_spans
        self._scope = ScopeSpans(scope=around.scope_spans[0].scope, schema_url=around.scope_spans[0].schema_url)
        self._resource = ResourceSpans(resource=around.resource, schema_url=around.schema_url)

    def span(
        self, sort: Sort, begun: Begun, attributes: Attributes, links: Sequence[Begun], status: Status, at: int
    ) -> bytes:
        """A span that ended then, as a field of ScopeSpans."""
        try:
            return encoded_span(sort, begun, attributes, links, status, at)
        except (ValueError, OverflowError, struct.error):
            (around,) = self._stock(sort, begun, attributes, links, status, at).resource_spans
            return delimited(SPANS, around.scope_spans[0].spans[0].SerializeToString())

    def row(self, sort: Sort, spans: Row, links: Sequence[Begun]) -> Sequence[bytes]:
        """Spans that differ in ids and times only."""
        return encoded_row(sort, spans, links)

    def _stock(self, *span: Any) -> ExportTraceServiceRequest:
        """A span as OpenTelemetry's own encoder has it, with what is around it."""
        return encode_spans([self._readable.span(*span)])

    def batch(self, spans: Sequence[bytes]) -> EncodedSpans:
        """What exporters are given."""
        return EncodedSpans(spans, self._resource.SerializeToString(), self._scope.SerializeToString())


def quicken(exporter: SpanExporter) -> bool:
    """Have an exporter take EncodedSpans too; False where it is none of OpenTelemetry's for OTLP.

    These find their encoder, when they export, by its name in their module. All else of them stays as it is.
    """
    module = sys.modules[type(exporter).__module__]
    if getattr(module, "encode_spans", None) is encode_spans:
        module.encode_spans = _encode_spans  # type: ignore[attr-defined]  # it has one, see above
    return getattr(module, "encode_spans", None) is _encode_spans


def _encode_spans(spans: Sequence[ReadableSpan] | EncodedSpans) -> Message:
    return spans.request() if isinstance(spans, EncodedSpans) else encode_spans(spans)


def encoded_span(
    sort: Sort, begun: Begun, attributes: Attributes, links: Sequence[Begun], status: Status, at: int
) -> bytes:
    """The same as EncodedForm.span. Raises ValueError and others for spans unlike those that a server makes."""
    trace_id, span_id, began, parent_id, is_remote, state = begun
    parts = [
        TRACE_ID_TAG,
        trace_id,
        SPAN_ID_TAG,
        span_id,
        TIMES_AND_FLAGS.pack(BEGIN_TAG, began, END_TAG, at, FLAGS_TAG, REMOTE if is_remote else LOCAL),
        _of_sort(sort),
        UNSET_STATUS if status is UNSET else _status(status.status_code.value, status.description or ""),
    ]
    if parent_id:
        parts += (PARENT_ID_TAG, parent_id)
    if state:
        parts.append(text(TRACE_STATE, ",".join(f"{key}={value}" for key, value in state.items())))
    if attributes:
        parts += [_WAYS[type(value)](key, value) for key, value in attributes.items()]
    if links:
        parts += map(_link, links)
    body = b"".join(parts)
    return _before_span(len(body)) + body


def encoded_row(sort: Sort, spans: Row, links: Sequence[Begun]) -> list[bytes]:
    """The same of spans that differ in ids and times only: but for those, their bytes are the same."""
    linked = b"".join(map(_link, links))
    pack, head, between = _of_row(sort, len(linked))
    done = []
    for span, at, end in spans:
        trace_id, span_id, *_, state = span
        if state:
            done.append(encoded_span(sort, within(span, at), {}, links, UNSET, end))
            continue
        ids = head, trace_id, SPAN_ID_TAG, new_span_id()
        done.append(pack(*ids, BEGIN_TAG, at, END_TAG, end, between, span_id, linked))
    return done


@lru_cache
def _of_row(sort: Sort, linked: int) -> tuple[Callable[..., bytes], bytes, bytes]:
    """What puts the spans of a row together, and what stands in it before their ids and before their parent's."""
    flags = struct.pack("<HI", FLAGS_TAG, LOCAL)
    between = b"".join((flags, _of_sort(sort), UNSET_STATUS, PARENT_ID_TAG))
    body = ROW.format(len(TRACE_ID_TAG), len(between), linked)
    head = _before_span(struct.calcsize(body)) + TRACE_ID_TAG
    return struct.Struct(ROW.format(len(head), len(between), linked)).pack, head, between


@lru_cache
def _before_span(size: int) -> bytes:
    return tag(SPANS) + varint(size)


@lru_cache(maxsize=MOST_REMEMBERED)
def _of_sort(sort: Sort) -> bytes:
    named = text(NAME, sort.name) + tag(KIND, VARINT) + varint(sort.kind.value + 1)
    return b"".join((named, *(_WAYS[type(value)](key, value) for key, value in sort.attributes.items())))


@lru_cache
def _status(code: int, description: str) -> bytes:
    return delimited(STATUS, text(2, description), tag(3, VARINT) + varint(code) if code else b"")


UNSET_STATUS = _status(0, "")


def _link(span: Begun) -> bytes:
    return b"%b%b%b%b%b%b" % (LINK_TAG, TRACE_ID_TAG, span.trace_id, SPAN_ID_TAG, span.span_id, LINK_FLAGS)


@lru_cache(maxsize=MOST_REMEMBERED)
def _string(key: str, value: str) -> bytes:
    return _attribute(key, delimited(STRING, value.encode()))


@lru_cache(maxsize=MOST_REMEMBERED)
def _int(key: str, value: int) -> bytes:
    if value not in INTS:
        raise UnusualSpanError("an integer of more than 64 bits")
    digits = varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    return _before_int(key, len(digits)) + digits


@lru_cache
def _before_int(key: str, size: int) -> bytes:
    return _attribute(key, tag(INT, VARINT) + bytes(size))[:-size]


def _bool(key: str, value: bool) -> bytes:
    return _attribute(key, tag(BOOL, VARINT) + varint(value))


def _float(key: str, value: float) -> bytes:
    return _attribute(key, struct.pack("<Bd", DOUBLE << 3 | 1, value))


def _attribute(key: str, value: bytes) -> bytes:
    return delimited(ATTRIBUTES, _key(key), delimited(VALUE, value))


@lru_cache
def _key(key: str) -> bytes:
    return text(KEY, key)


class _Ways(dict[type, Any]):
    """How attributes are encoded, by the types of their values."""

    def __missing__(self, kind: type) -> Any:
        raise UnusualSpanError(f"an attribute of type {kind.__name__}")


_WAYS = _Ways({str: _string, int: _int, bool: _bool, float: _float})
