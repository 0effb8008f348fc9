"""The spans of calls. Needs OpenTelemetry."""

import asyncio
import time
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from google.protobuf.descriptor import MethodDescriptor

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.context import CallContext, Metadata
from lockstitch_server.rpc.request_subject import RequestSubject, request_of, subject_of
from lockstitch_server.telemetry.session_ids import SessionIds
from lockstitch_server.telemetry.tracing import (
    SERVER,
    Attributes,
    Begun,
    Sort,
    Tracer,
    carry,
    carry_parent,
    current,
)

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


class Caller(NamedTuple):
    """Who calls."""

    peer: str
    """Asked for when the call begins: it is not known any more of one that its caller has given up."""
    metadata: Metadata
    carrier: Mapping[str, str]


class CallSpans:
    """Begins the spans of calls that are sampled."""

    def __init__(self, tracer: Tracer, session_ids: SessionIds) -> None:
        self.tracer = tracer
        self.session_ids = session_ids
        self._ended: list[_Ended] = []

    def begin(self, method: MethodDescriptor, context: CallContext) -> "CallSpan | None":
        """The span of a call; None where it is not sampled. The context learns of its trace in any case."""
        metadata = context.entries()
        carrier = self.tracer.propagation.carrier(metadata)
        begun = self.tracer.begin_call(path(method), carrier)
        if isinstance(begun, bytes):
            context.trace = begun
            return None
        context.trace = carry(begun)
        current.set(begun)
        return CallSpan(self, method, begun, context, Caller(context.peer(), metadata, carrier))

    def begin_items(self, context: CallContext) -> None:
        """Have the saves of a stream traced, each by itself. Those that name no trace belong to the call's."""
        carrier = self.tracer.propagation.carrier(context.entries())
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

    def tell_about(
        self,
        method: MethodDescriptor,
        begun: Begun,
        facts: Attributes,
        code: str,
        about: RequestSubject,
        size: int,
        at: int,
        outcome: int,
        error: BaseException | None,
    ) -> None:
        """Send the span of a request that has been answered then."""
        session_id, namespace, step, is_delta = about
        facts = {"lockstitch.request.size": size, **facts}
        if session_id := self.session_ids.shown(session_id):
            facts["lockstitch.session.id"] = session_id
        if namespace:
            facts["lockstitch.namespace"] = namespace
        if step is not None:
            facts["lockstitch.step"] = step
        if isinstance(error, Failure):
            facts["lockstitch.error.reason"] = error.reason.value
        sort = _sort(method, code, outcome, is_delta, error is not None)
        self.tracer.end(sort, begun, facts, at=at, fault=code if code in SERVER_FAULTS else "")

    def facts(self, caller: Caller) -> Attributes:
        """What a call's span says of its caller."""
        facts: dict[str, str | int] = {**self.tracer.propagation.baggage(caller.carrier)}
        for key, value in caller.metadata:
            if key == ATTEMPTS and isinstance(value, str):
                facts["lockstitch.retries"] = int(value) if value.isdecimal() else 0
        if caller.peer:
            facts["network.peer.address"] = caller.peer
        return facts


class CallSpan:
    """The span of a call that is going on."""

    __slots__ = ("_begun", "_caller", "_context", "_method", "_spans")

    def __init__(
        self, spans: CallSpans, method: MethodDescriptor, begun: Begun, context: CallContext, caller: Caller
    ) -> None:
        self._spans = spans
        self._method = method
        self._begun = begun
        self._context = context
        self._caller = caller

    def end(self, code: str, data: bytes, answer: bytes = b"", error: BaseException | None = None) -> None:
        """The call has ended."""
        self._spans.tell_soon(_Ended(self, time.time_ns(), code, data, answer, error))

    def tell(self, ended: _Ended) -> None:
        """Send the span of a call that has ended."""
        _, at, code, data, answer, error = ended
        outcome = pb.SaveResponse.FromString(answer).outcome if answer and self._method.name == SAVE else 0
        about = subject_of(request_of(self._method, data, self._context))
        facts = self._spans.facts(self._caller)
        self._spans.tell_about(self._method, self._begun, facts, code, about, len(data), at, outcome, error)


@cache
def _sort(method: MethodDescriptor, code: str, outcome: int, is_delta: bool | None, has_failed: bool) -> Sort:
    """Spans of calls that went alike."""
    attributes = {"rpc.system.name": "grpc", "rpc.method": path(method), "rpc.response.status_code": code}
    if is_delta is not None:
        attributes["lockstitch.save.kind"] = "delta" if is_delta else "full"
    if outcome:
        attributes["lockstitch.save.outcome"] = outcome_name(outcome)
    if has_failed:
        attributes["error.type"] = code
    return Sort(path(method), SERVER, attributes)


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
