"""Saves by the batch, with spans for those that are traced. Needs OpenTelemetry.

A traced save has a `queue` span, until its batch is begun, and a `validate` span. The batch's `commit` span belongs to
the trace of the first of them, and is linked to the spans of all; each `queue` span is linked to it.

The span of a unary call is begun and ended where the call is. A save of a stream is looked into here only, so here is
decided whether it is sampled, and here it has its span.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from lockstitch.v1.checkpoint_service_pb2 import SaveStreamRequest
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.operations import Operation, Result, Saved
from lockstitch_server.engine.committer import Committer
from lockstitch_server.rpc.call_spans import CallSpans, path
from lockstitch_server.rpc.dispatch import CHECKPOINT_SERVICE
from lockstitch_server.rpc.errors import code_of
from lockstitch_server.rpc.observers import SaveCounts
from lockstitch_server.rpc.request_subject import RequestSubject, subject_of
from lockstitch_server.rpc.saves import Asked, Item, Kind, Saves, Undecodable, Wanted
from lockstitch_server.telemetry.tracing import (
    Attributes,
    Begun,
    Sort,
    carried,
    carried_parent,
    current,
    within,
)

OF_CALLS = (Kind.SAVE, Kind.WRITES)
SAVE_STREAM = CHECKPOINT_SERVICE.methods_by_name["SaveStream"]
SAVE_STREAM_PATH = path(SAVE_STREAM)
QUEUE, VALIDATE, COMMIT = Sort("queue"), Sort("validate"), Sort("commit")
NO_BAGGAGE: Attributes = {}


class _Sampled(NamedTuple):
    """A save of a stream's message that is being read."""

    number: int
    """Its place in the message."""
    span: Begun
    size: int
    baggage: Attributes
    about: RequestSubject


class _Traced(NamedTuple):
    """A traced save of a batch."""

    span: Begun
    """Of its call. Times are in ns since 1970, here and everywhere."""
    item: _Sampled | None
    """Where it came on a stream."""
    place: int
    """Among everything that the batch wants."""
    read: tuple[int, int]
    """When its message began to be read, and when it had been."""
    wanted: Operation | Failure


class _Batch(NamedTuple):
    """A batch with traced saves."""

    saves: Sequence[_Traced]
    begun: int
    commit: Begun


class TracedSaves(Saves):
    """Does the same as `Saves`, and tells of it, when the answers have gone."""

    def __init__(self, committer: Committer, limits: Limits, counts: SaveCounts | None, spans: CallSpans) -> None:
        super().__init__(committer, limits, counts)
        self._spans = spans
        self._tracer = spans.tracer
        self._passes = spans.tracer.passes
        self._sampled: list[_Sampled] = []
        """Of the stream's message that is being read."""

    async def work(self, batch: Sequence[Asked]) -> Sequence[bytes | Failure]:
        begun = time.time_ns()
        read, saves = self._read_all(batch)
        if not saves:
            async with self._turn:
                return self._answered(batch, read, await self._commit(read))
        traced = _Batch(saves, begun, self._tracer.begin(saves[0].span))
        async with self._turn:
            done = await self._commit_traced(batch, read, traced)
        results = iter(done)
        everything = [wanted if isinstance(wanted, Failure) else next(results) for many in read for _, wanted in many]
        self._tell_soon(traced, [everything[save.place] for save in saves])
        return self._answered(batch, read, done)

    def _read_all(self, batch: Sequence[Asked]) -> tuple[list[list[Wanted]], list[_Traced]]:
        """What each message wants, and those saves of it that are traced."""
        all_read: list[list[Wanted]] = []
        traced: list[_Traced] = []
        place, at = 0, time.time_ns()
        for asked in batch:
            read = self._read(asked)
            all_read.append(read)
            now = time.time_ns()
            if asked.kind in OF_CALLS:
                if found := carried(asked.trace):
                    traced.append(_Traced(found, None, place, (at, now), read[0][1]))
            elif self._sampled:
                sampled, self._sampled = self._sampled, []
                traced += [
                    _Traced(item.span, item, place + item.number, (at, now), read[item.number][1])
                    for item in sampled
                    if item.number < len(read)
                ]
            place += len(read)
            at = now
        return all_read, traced

    def _items(self, asked: Asked) -> list[Item | Undecodable]:
        items = super()._items(asked)
        if not asked.came or self._are_unsampled(asked, items):
            return items
        for number, item in enumerate(items):
            if isinstance(item, Item) and (sampled := self._begin_item(asked, number, item)):
                self._sampled.append(sampled)
                # The checkpoint keeps the id of its trace, also of one that begins here.
                items[number] = item._replace(trace_id=sampled.span.trace_id)
        return items

    def _are_unsampled(self, asked: Asked, items: Sequence[Item | Undecodable]) -> bool:
        """Whether the saves of a stream's message belong to no trace, and none begins one: so are most."""
        if asked.trace or any(isinstance(item, Item) and item.carrier for item in items):
            return False
        return self._passes(len(items))

    def _begin_item(self, asked: Asked, number: int, item: Item) -> _Sampled | None:
        """The span of a save of a stream, if it is sampled; it begins when the save came."""
        carrier, propagation = item.carrier, self._tracer.propagation
        parent = propagation.parent(carrier) if carrier else carried_parent(asked.trace)
        begun = self._tracer.begin_within(SAVE_STREAM_PATH, parent, asked.came)
        if not isinstance(begun, Begun):
            return None
        assert isinstance(item.whole, SaveStreamRequest)
        baggage = propagation.baggage(carrier) if carrier else NO_BAGGAGE
        return _Sampled(number, begun, item.whole.ByteSize(), baggage, subject_of(item.whole.save))

    async def _commit_traced(
        self, batch: Sequence[Asked], read: Sequence[Sequence[Wanted]], traced: _Batch
    ) -> Sequence[Result | Failure]:
        commit = traced.commit._replace(at=time.time_ns())
        attributes: dict[str, str | int | float] = {
            "lockstitch.batch.size": sum(map(len, read)),
            "lockstitch.batch.bytes": sum(len(asked.data) for asked in batch),
            "lockstitch.batch.wait": (commit.at - traced.commit.at) / 1e9,
        }
        token, fault = current.set(commit), ""
        try:
            return await self._commit(read)
        except BaseException as error:
            attributes["error.type"] = error.reason.value if isinstance(error, Failure) else type(error).__name__
            fault = "the batch could not be committed"
            self._tell_soon(traced, [error] * len(traced.saves))
            raise
        finally:
            current.reset(token)
            links = [save.span for save in traced.saves]
            self._tracer.end(COMMIT, commit, attributes, links=links, fault=fault)

    def _tell_soon(self, traced: _Batch, results: Sequence[Result | BaseException]) -> None:
        """Tell of the saves of a batch, in a row, when their answers have been written."""
        asyncio.get_running_loop().call_soon(self._tell, traced, results, time.time_ns())

    def _tell(self, traced: _Batch, results: Sequence[Result | BaseException], ended: int) -> None:
        saves = traced.saves
        waits = [(save.span, save.span.at, max(traced.begun, save.span.at)) for save in saves]
        self._tracer.end_row(QUEUE, waits, [traced.commit])
        sound = [(save.span, *save.read) for save in saves if not isinstance(save.wanted, Failure)]
        self._tracer.end_row(VALIDATE, sound)
        for save, result in zip(saves, results, strict=True):
            if isinstance(save.wanted, Failure):
                self._tell_fault(save, save.wanted.reason.value)
            if save.item is not None:
                self._tell_item(save.item, result, ended)

    def _tell_fault(self, save: _Traced, fault: str) -> None:
        at, read = save.read
        self._tracer.end(VALIDATE, within(save.span, at), {"error.type": fault}, at=read, fault=fault)

    def _tell_item(self, item: _Sampled, result: Result | BaseException, ended: int) -> None:
        code, outcome, error = "OK", 0, None
        if isinstance(result, Saved):
            outcome = result.outcome.value
        elif isinstance(result, BaseException):
            code, error = code_of(result).name if isinstance(result, Failure) else "INTERNAL", result
        self._spans.tell_about(SAVE_STREAM, item.span, item.baggage, code, item.about, item.size, ended, outcome, error)
