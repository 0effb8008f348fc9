"""The server spans of calls. Needs OpenTelemetry."""

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor import MethodDescriptor
from opentelemetry import context as current_context
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.request_subject import RequestSubject, request_of, subject_of
from lockstitch_server.telemetry.session_ids import SessionIds
from lockstitch_server.telemetry.trace_context import ID_BYTES
from lockstitch_server.telemetry.tracing import Attributes, Tracing, trace_id_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that are a failure of the server's, by the conventions for gRPC; the others are the caller's business."""
ATTEMPTS: Final = "grpc-previous-rpc-attempts"
ATTEMPTS_DIGITS: Final = re.compile(r"[0-9]{1,9}")
"""Python refuses to read numbers of thousands of digits, which a header may have."""
SAVE = "Save"


class CallSpans:
    """Starts and ends the spans of calls that are sampled."""

    def __init__(self, tracing: Tracing, session_ids: SessionIds) -> None:
        self.tracing = tracing
        self._session_ids = session_ids

    def start(self, method: MethodDescriptor, context: CallContext) -> "Span | None":
        """The span of a call, which becomes the current one; None where it is not sampled.

        The context learns the trace that the call belongs to in any case.
        """
        carrier = self.tracing.propagation.carrier(context.entries())
        parent = self.tracing.propagation.parent(carrier) if carrier else None

        def attributes() -> Attributes:
            return {**method_attributes(method), **self._caller(context, carrier)}

        span = self.tracing.start(method_path(method), parent, attributes)
        if span is None:
            context.trace = parent.trace_id.to_bytes(ID_BYTES, "big") if parent is not None else b""
            return None
        context.trace, context.span = trace_id_of(span), span
        current_context.attach(trace.set_span_in_context(span))  # until the task of the call ends
        return span

    def start_items(self, context: CallContext) -> None:
        """Have the saves of a stream traced, each by itself. Those that name no trace belong to the call's."""
        carrier = self.tracing.propagation.carrier(context.entries())
        parent = self.tracing.propagation.parent(carrier) if carrier else None
        context.traces_items, context.parent = True, parent
        context.trace = parent.trace_id.to_bytes(ID_BYTES, "big") if parent is not None else b""

    def end(
        self,
        span: "Span",
        method: MethodDescriptor,
        context: CallContext,
        code: str,
        data: bytes,
        answer: bytes = b"",
        error: BaseException | None = None,
    ) -> None:
        """End the span of a call."""
        outcome = pb.SaveResponse.FromString(answer).outcome if answer and method.name == SAVE else 0
        subject = self.subject(subject_of(request_of(method, data, context)), len(data))
        end_span(span, subject, code, outcome, error)

    def subject(self, subject: RequestSubject, size: int) -> Attributes:
        """Attributes that say what a request is about. size: that of the request, in bytes."""
        session_id, namespace, step, is_delta = subject
        attributes: dict[str, str | int] = {"lockstitch.request.size": size}
        if session_id := self._session_ids.shown(session_id):
            attributes["lockstitch.session.id"] = session_id
        if namespace:
            attributes["lockstitch.namespace"] = namespace
        if step is not None:
            attributes["lockstitch.step"] = step
        if is_delta is not None:
            attributes["lockstitch.save.kind"] = "delta" if is_delta else "full"
        return attributes

    def _caller(self, context: CallContext, carrier: Mapping[str, str]) -> Attributes:
        """Attributes that say who calls."""
        attributes: dict[str, str | int | float | bool] = {**self.tracing.propagation.baggage(carrier)}
        attempts = context.metadata(ATTEMPTS)
        if attempts is not None:
            attributes["lockstitch.retries"] = int(attempts) if ATTEMPTS_DIGITS.fullmatch(attempts) else 0
        if peer := context.peer():
            attributes["network.peer.address"] = peer
        return attributes


def end_span(span: "Span", attributes: Attributes, code: str, outcome: int, error: BaseException | None) -> None:
    """End the span of a request that has been answered.

    code: the status code; outcome: of a save, else 0; error: why it failed.
    """
    more: dict[str, str] = {"rpc.response.status_code": code}
    if outcome:
        more["lockstitch.save.outcome"] = outcome_name(outcome)
    if error is not None:
        more["error.type"] = code
    if isinstance(error, Failure):
        more["lockstitch.error.reason"] = error.reason.value
    span.set_attributes({**attributes, **more})
    if code in SERVER_FAULTS:
        span.set_status(StatusCode.ERROR, code)
    span.end()


@cache
def method_path(method: MethodDescriptor) -> str:
    """A method by its full name, as the conventions have it."""
    service = method.containing_service
    assert service is not None
    return f"{service.full_name}/{method.name}"


@cache
def method_attributes(method: MethodDescriptor) -> Attributes:
    """Attributes that every call of a method has."""
    return {"rpc.system.name": "grpc", "rpc.method": method_path(method)}


@cache
def outcome_name(outcome: int) -> str:
    """An outcome in lower case: created, replaced, unchanged."""
    name = pb.SaveOutcome.DESCRIPTOR.values_by_number.get(outcome)
    return name.name.removeprefix("SAVE_OUTCOME_").lower() if name is not None else str(outcome)
