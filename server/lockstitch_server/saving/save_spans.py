"""The spans of a batch of saves. Needs OpenTelemetry.

A sampled save has a server span, with the time that it waited in the queue and the time that its request took to parse
and validate. The batch has a `commit` span, in the trace of its first sampled save. The commit is linked to all of
them, and each of them to the commit.

The span of a unary call is started and ended where the call is. A save of a stream is decoded here only, so here it is
decided whether it is sampled.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import StatusCode

from lockstitch.v1.checkpoint_service_pb2 import SaveStreamRequest
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.planning.operations import Result, Saved
from lockstitch_server.rpc.call_spans import CallSpans, end_span, method_attributes, method_path
from lockstitch_server.rpc.dispatcher import CHECKPOINT_SERVICE
from lockstitch_server.rpc.errors import code_of
from lockstitch_server.rpc.request_subject import subject_of
from lockstitch_server.saving.save_observer import BatchObserver
from lockstitch_server.saving.save_requests import Item, ParsedSave, RawRequest
from lockstitch_server.telemetry.tracing import Attributes, trace_id_of

SAVE_STREAM = CHECKPOINT_SERVICE.methods_by_name["SaveStream"]
NS_PER_SECOND = 1e9


@dataclass(slots=True)
class _SampledSave:
    """A save of the batch that has a span."""

    span: Span
    request: int
    """The index of its request in the batch."""
    place: int
    """Its index among the saves of its request."""
    is_item: bool
    """Whether it is of a stream, so that its span is ended here."""
    validation_seconds: float = 0.0


class TracedBatch(BatchObserver):
    """Traces the sampled saves of a batch.

    counted: observes the same batch, for metrics.
    """

    def __init__(self, spans: CallSpans, batch: Sequence[RawRequest], counted: BatchObserver) -> None:
        self._spans = spans
        self._batch = batch
        self._counted = counted
        self._saves: list[_SampledSave] = []
        self._started: list[_SampledSave] = []
        """The saves of the request that is being parsed."""
        self._requests = self._operations = 0
        """How many have been parsed."""
        self._began = self._parsed_at = time.time_ns()

    def trace_id(self, request: RawRequest, place: int, item: Item) -> bytes:
        span = self._start(request, item) if request.received_at else None
        if span is None:
            return super().trace_id(request, place, item)
        self._started.append(_SampledSave(span, self._requests, place, is_item=True))
        return trace_id_of(span)

    def request_parsed(self, request: RawRequest, parsed: Sequence[ParsedSave]) -> None:
        began, self._parsed_at = self._parsed_at, time.time_ns()
        if request.span is not None:
            self._started.append(_SampledSave(request.span, self._requests, 0, is_item=False))
        for save in self._started:
            save.validation_seconds = (self._parsed_at - began) / NS_PER_SECOND
        self._saves += self._started
        self._started = []
        self._requests += 1
        self._operations += len(parsed)

    @contextmanager
    def committing(self) -> Iterator[None]:
        if not self._saves:
            yield
            return
        commit = self._start_commit()
        for save in self._saves:
            if save.span.is_recording():  # a call may have ended: its caller has given it up
                save.span.add_link(commit.get_span_context())
        with trace.use_span(commit, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                commit.set_attribute("error.type", _error_type(error))
                commit.set_status(StatusCode.ERROR, "the batch could not be committed")
                raise

    def done(self, batch: Sequence[RawRequest], results: Sequence[Sequence[Result | Failure]]) -> None:
        self._counted.done(batch, results)
        for save in self._saves:
            self._end(save, results[save.request][save.place])

    def failed(self, error: BaseException) -> None:
        self._counted.failed(error)
        for save in (*self._saves, *self._started):
            self._end(save, error)

    def _start(self, request: RawRequest, item: Item) -> Span | None:
        """The span of a save of a stream; None where it is not sampled."""
        tracing, carrier = self._spans.tracing, item.trace_context
        parent = tracing.propagation.parent(carrier) if carrier else request.parent

        def attributes() -> Attributes:
            message = item.message
            assert isinstance(message, SaveStreamRequest)
            subject = self._spans.subject(subject_of(message.save), message.ByteSize())
            return {**method_attributes(SAVE_STREAM), **subject, **tracing.propagation.baggage(carrier)}

        return tracing.start(method_path(SAVE_STREAM), parent, attributes, request.received_at)

    def _start_commit(self) -> trace.Span:
        attributes = {
            "lockstitch.batch.size": self._operations,
            "lockstitch.batch.bytes": sum(len(request.data) for request in self._batch),
            "lockstitch.batch.wait": (time.time_ns() - self._parsed_at) / NS_PER_SECOND,
        }
        links = [save.span.get_span_context() for save in self._saves]
        return self._spans.tracing.start_child("commit", self._saves[0].span, attributes, links)

    def _end(self, save: _SampledSave, result: Result | BaseException) -> None:
        if not save.span.is_recording():
            return
        waited = max(0, self._began - (save.span.start_time or self._began))
        times = {
            "lockstitch.queue.wait": waited / NS_PER_SECOND,
            "lockstitch.validation.duration": save.validation_seconds,
        }
        if not save.is_item:
            save.span.set_attributes(times)
            return
        code, outcome, error = "OK", 0, None
        if isinstance(result, Saved):
            outcome = result.outcome.value
        elif isinstance(result, BaseException):
            code, error = code_of(result).name if isinstance(result, Failure) else "INTERNAL", result
        end_span(save.span, times, code, outcome, error)


def _error_type(error: BaseException) -> str:
    return error.reason.value if isinstance(error, Failure) else type(error).__name__
