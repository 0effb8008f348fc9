"""Client spans, where the application has a tracer of OpenTelemetry. Without one nothing happens, at no cost.

One span for each call of the client's, whatever that takes: gRPC's retries, our own, a stream that others share.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lockstitch._errors import LockstitchError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

try:
    from opentelemetry import propagate, trace
except ImportError:
    HAS_API = False
else:
    HAS_API = True

NAME = "lockstitch"
NOTHING: Mapping[str, str] = MappingProxyType({})
MOST_BYTES = 8192
"""How much a save may take along on a stream. Larger baggage stays behind."""


class CallSpan:
    """The span of a call.

    carrier: what goes with the call, so that the server's span is within this one.
    """

    __slots__ = ("_retries", "_span", "carrier")

    def __init__(self, span: "Span | None" = None, carrier: Mapping[str, str] = NOTHING) -> None:
        self._span = span
        self._retries = 0
        self.carrier = carrier

    def retried(self, reason: LockstitchError | str) -> None:
        """The call is sent once more."""
        if self._span is not None:
            self._retries += 1
            text = reason if isinstance(reason, str) else reason.message
            self._span.add_event("retry", {"lockstitch.retry.reason": text})
            self._span.set_attribute("lockstitch.retries", self._retries)


UNTRACED = CallSpan()
NO_SPAN = nullcontext(UNTRACED)
_current: ContextVar[CallSpan] = ContextVar("lockstitch_call", default=UNTRACED)


def current() -> CallSpan:
    """The span of the call that is being made here."""
    return _current.get()


def within(span: CallSpan) -> AbstractContextManager[CallSpan]:
    """Make calls as parts of one. No generator may yield meanwhile."""
    return NO_SPAN if span is UNTRACED else _within(span)


@contextmanager
def _within(span: CallSpan) -> Iterator[CallSpan]:
    token = _current.set(span)
    try:
        yield span
    finally:
        _current.reset(token)


def call_span(path: str, target: str) -> AbstractContextManager[CallSpan]:
    """The span of a call. path: of the method, as gRPC has it. Errors become its status."""
    if not HAS_API or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return NO_SPAN
    return _traced(path, target)


@contextmanager
def _traced(path: str, target: str) -> Iterator[CallSpan]:
    method = path.removeprefix("/")
    attributes: dict[str, Any] = {"rpc.system.name": "grpc", "rpc.method": method, **_address(target)}
    span = trace.get_tracer(NAME).start_span(method, kind=trace.SpanKind.CLIENT, attributes=attributes)
    try:
        yield CallSpan(span, _carrier(span))
        span.set_attribute("rpc.response.status_code", "OK")
    except BaseException as error:
        _failed(span, error)
        raise
    finally:
        span.end()


def _carrier(span: "Span") -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(span))
    if sum(map(len, carrier.values())) > MOST_BYTES:
        carrier.pop("baggage", None)
    return carrier


def _failed(span: "Span", error: BaseException) -> None:
    code = error.code.name if isinstance(error, LockstitchError) else ""
    if code:
        span.set_attribute("rpc.response.status_code", code)
    span.set_attribute("error.type", code or type(error).__qualname__)
    if not isinstance(error, GeneratorExit):  # the reader has had enough
        span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))


def _address(target: str) -> dict[str, Any]:
    host, _, port = target.rpartition("/")[2].rpartition(":")
    return {"server.address": host, "server.port": int(port)} if host and port.isdecimal() else {}
