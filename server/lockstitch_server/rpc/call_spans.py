"""The spans of calls. Needs OpenTelemetry."""

import asyncio
import time
from functools import cache
from typing import Final, NamedTuple

from google.protobuf.descriptor import MethodDescriptor

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.context import CallContext
from lockstitch_server.rpc.peek import Subject, subject
from lockstitch_server.telemetry.session_ids import SessionIds
from lockstitch_server.telemetry.tracing import SERVER, UNSET, Begun, Tracer, carry, carry_parent, current, failed

SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that are a failure of the server's, by the conventions for gRPC; the others are the caller's business."""
ATTEMPTS: Final = "grpc-previous-rpc-attempts"
SAVE = "Save"


class _Ended(NamedTuple):
    """A call that has ended, and how."""

    span: "CallSpan"
    at: int
    """In ns since 1970."""
    code: str
    data: bytes
    answer: bytes
    error: BaseException | None


class CallSpans:
    """Begins the spans of calls that are sampled."""

    def __init__(self, tracer: Tracer, session_ids: SessionIds) -> None:
        self.tracer = tracer
        self.session_ids = session_ids
        self._ended: list[_Ended] = []

    def begin(self, method: MethodDescriptor, context: CallContext) -> "CallSpan | None":
        """The span of a call; None where it is not sampled. The context learns of its trace in any case."""
        carrier = self.tracer.propagation.carrier(context.transport.invocation_metadata() or ())
        span = self._begin(method, carrier, context)
        if span is not None:
            context.trace = carry(span.begun)
            current.set(span.begun.span)
        return span

    def begin_items(self, context: CallContext) -> None:
        """Have the saves of a stream traced, each by itself. Those that name no trace belong to the call's."""
        carrier = self.tracer.propagation.carrier(context.transport.invocation_metadata() or ())
        parent = self.tracer.propagation.parent(carrier) if carrier else None
        context.traces_items = True
        context.trace = carry_parent(parent) if parent is not None else b""

    def tell_soon(self, ended: _Ended) -> None:
        """Tell of a call that has ended, together with those that end at the same moment.

        Their answers leave first; and span after span costs a third of what each does between other work.
        """
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._tell)
        self._ended.append(ended)

    def _tell(self) -> None:
        ended, self._ended = self._ended, []
        for call in ended:
            call.span.tell(call)

    def _begin(self, method: MethodDescriptor, carrier: dict[str, str], context: CallContext) -> "CallSpan | None":
        begun = self.tracer.begin_call(path(method), carrier)
        if isinstance(begun, bytes):
            context.trace = begun
            return None
        attributes: dict[str, str | int] = {**self.tracer.propagation.baggage(carrier)}
        if attempts := context.metadata(ATTEMPTS):
            attributes["lockstitch.retries"] = int(attempts) if attempts.isdecimal() else 0
        if peer := context.transport.peer():
            attributes["network.peer.address"] = peer
        return CallSpan(self, method, begun, attributes)


class CallSpan:
    """The span of a call that is going on."""

    __slots__ = ("_attributes", "_method", "_spans", "begun")

    def __init__(
        self, spans: CallSpans, method: MethodDescriptor, begun: Begun, attributes: dict[str, str | int]
    ) -> None:
        self.begun = begun
        self._spans = spans
        self._method = method
        self._attributes = attributes

    def end(self, code: str, data: bytes, answer: bytes = b"", error: BaseException | None = None) -> None:
        """The call has ended."""
        self._spans.tell_soon(_Ended(self, time.time_ns(), code, data, answer, error))

    def tell(self, ended: _Ended) -> None:
        """Send the span of a call that has ended."""
        _, at, code, data, answer, error = ended
        outcome = pb.SaveResponse.FromString(answer).outcome if answer and self._method.name == SAVE else 0
        self.tell_about(code, subject(data, self._method.input_type), len(data), at, outcome, error)

    def tell_about(
        self, code: str, about: Subject, size: int, at: int, outcome: int = 0, error: BaseException | None = None
    ) -> None:
        """The same, where it is known what the request was about."""
        name = path(self._method)
        attributes: dict[str, str | int] = {
            "rpc.system.name": "grpc",
            "rpc.method": name,
            "rpc.response.status_code": code,
            "lockstitch.request.size": size,
            **self._attributes,
            **self._about(about),
        }
        if outcome:
            attributes["lockstitch.save.outcome"] = outcome_name(outcome)
        if error is not None:
            attributes["error.type"] = code
            if isinstance(error, Failure):
                attributes["lockstitch.error.reason"] = error.reason.value
        status = failed(code) if code in SERVER_FAULTS else UNSET
        self._spans.tracer.end(name, self.begun, attributes, SERVER, at=at, status=status)

    def _about(self, about: Subject) -> dict[str, str | int]:
        facts: dict[str, str | int] = {}
        if session_id := self._spans.session_ids.shown(about.session_id):
            facts["lockstitch.session.id"] = session_id
        if about.namespace:
            facts["lockstitch.namespace"] = about.namespace
        if about.step is not None:
            facts["lockstitch.step"] = about.step
        if about.is_delta is not None:
            facts["lockstitch.save.kind"] = "delta" if about.is_delta else "full"
        return facts


@cache
def path(method: MethodDescriptor) -> str:
    """A method by its full name, as the conventions have it."""
    service = method.containing_service
    assert service is not None
    return f"{service.full_name}/{method.name}"


@cache
def outcome_name(outcome: int) -> str:
    """An outcome in lower case: created, replaced, unchanged."""
    name = pb.SaveOutcome.DESCRIPTOR.values_by_number.get(outcome)
    return name.name.removeprefix("SAVE_OUTCOME_").lower() if name is not None else str(outcome)
