"""Spans as OTLP has them, in a fraction of the time that OpenTelemetry's own encoder takes. Needs its exporter.

Of a server's spans, resource, scope, names and most attributes are always the same, so their bytes are made once.
A span is encoded when it ends, while the processor's caches still have it.
"""

import struct
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, overload

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status

from lockstitch_server.core.wire import VARINT, delimited, tag, text, varint
from lockstitch_server.telemetry.tracing import UNSET, Attributes, Begun, ReadableForm

NAME, KIND = Span.NAME_FIELD_NUMBER, Span.KIND_FIELD_NUMBER
ATTRIBUTES, LINKS, STATUS = Span.ATTRIBUTES_FIELD_NUMBER, Span.LINKS_FIELD_NUMBER, Span.STATUS_FIELD_NUMBER
SPANS = ScopeSpans.SPANS_FIELD_NUMBER
TRACE_STATE = Span.TRACE_STATE_FIELD_NUMBER
KEY, VALUE = 1, 2
"""Of an attribute."""
STRING, BOOL, INT, DOUBLE = 1, 2, 3, 4
"""Of an attribute's value."""
IDS = b"\x0a\x10%b\x12\x08%b"
"""Trace id and span id, of spans and links alike."""
PARENT_ID = b"\x22\x08%b"
TIMES_AND_FLAGS = struct.Struct("<BQBQHI")
"""Begin, end and flags, each with the tag of its field."""
BEGIN_TAG, END_TAG, FLAGS_TAG = 7 << 3 | 1, 8 << 3 | 1, 0x0185
LINK_FLAGS = struct.Struct("<BI")
LINK_FLAGS_TAG = 6 << 3 | 5
LOCAL, REMOTE = 0x100, 0x300
"""Flags: whether the parent, or what is linked to, is of another process."""
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

    def request(self) -> ExportTraceServiceRequest:
        """As exporters send them."""
        return ExportTraceServiceRequest.FromString(
            delimited(1, self._resource, delimited(2, self._scope, *self._spans))
        )

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
        nothing = SpanContext(0, 0, False)
        span = self._readable.span("", Begun(nothing, None, 0), {}, SpanKind.INTERNAL, (), UNSET, 0)
        (around,) = encode_spans([span]).resource_spans
        self._scope = ScopeSpans(scope=around.scope_spans[0].scope, schema_url=around.scope_spans[0].schema_url)
        self._resource = ResourceSpans(resource=around.resource, schema_url=around.schema_url)

    def span(
        self,
        name: str,
        begun: Begun,
        attributes: Attributes,
        kind: SpanKind,
        links: Sequence[Link],
        status: Status,
        at: int,
    ) -> bytes:
        """A span that ended then, as a field of ScopeSpans."""
        try:
            return encoded_span(name, begun, attributes, kind, links, status, at)
        except (ValueError, OverflowError, struct.error):
            (around,) = encode_spans(
                [self._readable.span(name, begun, attributes, kind, links, status, at)]
            ).resource_spans
            return delimited(SPANS, around.scope_spans[0].spans[0].SerializeToString())

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


def _encode_spans(spans: Sequence[ReadableSpan] | EncodedSpans) -> ExportTraceServiceRequest:
    return spans.request() if isinstance(spans, EncodedSpans) else encode_spans(spans)


def encoded_span(
    name: str, begun: Begun, attributes: Attributes, kind: SpanKind, links: Sequence[Link], status: Status, at: int
) -> bytes:
    """The same as EncodedForm.span. Raises ValueError and others for spans unlike those that a server makes."""
    context, parent, began = begun
    flags = REMOTE if parent is not None and parent.is_remote else LOCAL
    parts = [
        _ids(context),
        _named(name, kind),
        TIMES_AND_FLAGS.pack(BEGIN_TAG, began, END_TAG, at, FLAGS_TAG, flags),
        UNSET_STATUS if status is UNSET else _status(status.status_code.value, status.description or ""),
    ]
    if parent is not None:
        parts.append(PARENT_ID % parent.span_id.to_bytes(8, "big"))
    if context.trace_state:
        parts.append(text(TRACE_STATE, ",".join(f"{key}={value}" for key, value in context.trace_state.items())))
    if attributes:
        parts += [_WAYS[type(value)](key, value) for key, value in attributes.items()]
    if links:
        parts += map(_link, links)
    return delimited(SPANS, *parts)


def _ids(context: SpanContext) -> bytes:
    return IDS % (context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"))


@lru_cache
def _named(name: str, kind: SpanKind) -> bytes:
    return text(NAME, name) + tag(KIND, VARINT) + varint(kind.value + 1)


@lru_cache
def _status(code: int, description: str) -> bytes:
    return delimited(STATUS, text(2, description), tag(3, VARINT) + varint(code) if code else b"")


UNSET_STATUS = _status(0, "")


def _link(link: Link) -> bytes:
    if link.attributes:
        raise UnusualSpanError("attributes of a link")
    flags = REMOTE if link.context.is_remote else LOCAL
    return delimited(LINKS, _ids(link.context), LINK_FLAGS.pack(LINK_FLAGS_TAG, flags))


@lru_cache(maxsize=MOST_REMEMBERED)
def _string(key: str, value: str) -> bytes:
    return _attribute(key, delimited(STRING, value.encode()))


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
