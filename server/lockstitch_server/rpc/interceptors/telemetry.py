"""Traces, counts and logs every call. One interceptor for all three, since each interceptor costs time."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
from typing import TYPE_CHECKING

import grpc
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.errors import code_of_error
from lockstitch_server.rpc.handler_types import Incoming, StreamHandler, UnaryHandler
from lockstitch_server.rpc.interceptors.admission import ENDLESS
from lockstitch_server.rpc.observers import CallLog, CallStats

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

    from lockstitch_server.rpc.call_spans import CallSpans

OK = "OK"
ROUNDING = 0.01
"""How much longer a call may last here, in proportion to its deadline: gRPC rounds deadlines up to send them."""
TRANSIT_SECONDS = 0.005
"""How much later a deadline may be here, since it was on its way."""


class CallTelemetry:
    """Traces, counts and logs calls.

    spans, stats, log: None where calls are not traced, counted or logged.
    """

    def __init__(self, spans: "CallSpans | None", stats: CallStats | None, log: CallLog | None) -> None:
        self._spans = spans
        self._stats = stats
        self._log = log

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        if self._spans is None and self._stats is None and self._log is None:
            return handle

        async def call(data: bytes, context: CallContext) -> bytes:
            began, span = self._begun(), None
            try:
                if self._spans is not None:
                    span = self._spans.start(method, context)
                answer = await handle(data, context)
            except BaseException as error:
                self._ended(began, span, method, context, data, error=error)
                raise
            self._ended(began, span, method, context, data, answer)
            return answer

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        if self._spans is None and self._stats is None and self._log is None:
            return handle

        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            began = self._begun()
            data = incoming if isinstance(incoming, bytes) else b""
            span = None
            try:
                if self._spans is not None:
                    if method.client_streaming:  # it may last for days: each of its saves has a span instead
                        self._spans.start_items(context)
                    else:
                        span = self._spans.start(method, context)
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer
            except BaseException as error:
                self._ended(began, span, method, context, data, error=error)
                raise
            self._ended(began, span, method, context, data)

        return call

    def _begun(self) -> float:
        if self._stats is not None:
            self._stats.active.value += 1
        return perf_counter()

    def _ended(
        self,
        began: float,
        span: "Span | None",
        method: MethodDescriptor,
        context: CallContext,
        data: bytes,
        answer: bytes = b"",
        error: BaseException | None = None,
    ) -> None:
        """A call has ended. It is counted first: what follows reads the request, and may fail."""
        seconds = perf_counter() - began
        code = OK if error is None else code_name(error, context, seconds)
        if self._stats is not None:
            self._stats.active.value -= 1
            self._stats.ended(method, code, seconds)
        if span is not None and self._spans is not None:
            self._spans.end(span, method, context, code, data, answer, error)
        if self._log is not None:
            self._log.ended(method, code, seconds, data, context, may_be_long=method.name in ENDLESS)


def code_name(error: BaseException, context: CallContext, seconds: float) -> str:
    """The status code that the caller gets, or would get if it had waited.

    seconds: how long the call has lasted.
    """
    code = code_of_error(error)
    if code is grpc.StatusCode.CANCELLED and _is_late(context.transport.time_remaining(), seconds):
        code = grpc.StatusCode.DEADLINE_EXCEEDED
    return code.name


def _is_late(left: float | None, seconds: float) -> bool:
    """Whether a cancelled call was cancelled at its deadline, which is a little earlier for the caller than here."""
    return left is not None and left <= ROUNDING * (left + seconds) + TRANSIT_SECONDS
