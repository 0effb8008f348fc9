"""Saves by the batch, with spans for those that are traced. Needs OpenTelemetry.

A traced save has a `queue` span, until its batch is begun, and a `validate` span. The batch's `commit` span belongs to
the trace of the first of them, and is linked to the spans of all; each `queue` span is linked to it.

The span of a unary call is begun and ended where the call is. A save of a stream is looked into here only, so here is
decided whether it is sampled, and here it has its span.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from opentelemetry.trace import Link, SpanContext

from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.operations import DraftDelta, Operation, Result, Save, Saved
from lockstitch_server.engine.committer import Committer
from lockstitch_server.rpc.call_spans import CallSpan, CallSpans, path
from lockstitch_server.rpc.dispatch import CHECKPOINT_SERVICE
from lockstitch_server.rpc.errors import code_of
from lockstitch_server.rpc.observers import SaveCounts
from lockstitch_server.rpc.peek import Subject
from lockstitch_server.rpc.saves import Asked, Item, Kind, Saves, Wanted
from lockstitch_server.telemetry.tracing import UNSET, Begun, carried, carried_parent, current, failed

OF_CALLS = (Kind.SAVE, Kind.WRITES)
SAVE_STREAM = CHECKPOINT_SERVICE.methods_by_name["SaveStream"]
SAVE_STREAM_PATH = path(SAVE_STREAM)


class _Item(NamedTuple):
    """A save of a stream, with what will be told of it."""

    span: CallSpan
    about: Subject
    size: int


class _Traced(NamedTuple):
    """A traced save of a batch."""

    span: SpanContext
    """Of its call."""
    came: int
    """In ns since 1970, as all times here."""
    item: _Item | None
    place: int
    """Among everything that the batch wants."""
    read: tuple[int, int]
    """When its message began to be read, and when it had been."""
    fault: str
    """What stands against it; empty: nothing."""


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
        self._sampled: list[tuple[int, CallSpan, int]] = []
        """The spans of the stream's message that is being read: places in it, and sizes in bytes."""

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
                    traced.append(_Traced(*found, None, place, (at, now), _fault(read[0][1])))
            elif self._sampled:
                traced += self._of_items(asked.came, read, place, (at, now))
            place += len(read)
            at = now
        return all_read, traced

    def _of_items(self, came: int, read: Sequence[Wanted], place: int, times: tuple[int, int]) -> Iterator[_Traced]:
        """The traced saves of a stream's message, which has been read."""
        sampled, self._sampled = self._sampled, []
        for number, call, size in sampled:
            if number < len(read):
                wanted = read[number][1]
                item = _Item(call, _about(wanted), size)
                yield _Traced(call.begun.span, came, item, place + number, times, _fault(wanted))

    def _items(self, asked: Asked) -> list[Item]:
        items = super()._items(asked)
        if asked.came and asked.kind not in OF_CALLS:
            own = carried_parent(asked.trace)
            calls = [self._begin_item(item.whole, own, asked.came) for item in items]
            self._sampled = [
                (number, call, items[number].whole.ByteSize()) for number, call in enumerate(calls) if call is not None
            ]
        return items

    def _begin_item(self, item: Any, own: SpanContext | None, came: int) -> CallSpan | None:
        """The span of a save of a stream, if it is sampled; it begins when the save came. own: the stream's parent."""
        carrier = item.trace_context
        parent = self._tracer.propagation.parent(carrier) if carrier else own
        begun = self._tracer.begin_within(SAVE_STREAM_PATH, parent)
        if isinstance(begun, bytes):
            return None
        baggage = self._tracer.propagation.baggage(carrier) if carrier else {}
        return CallSpan(self._spans, SAVE_STREAM, begun._replace(at=came), dict(baggage))

    async def _commit_traced(
        self, batch: Sequence[Asked], read: Sequence[Sequence[Wanted]], traced: _Batch
    ) -> Sequence[Result | Failure]:
        commit = traced.commit._replace(at=time.time_ns())
        attributes: dict[str, str | int | float] = {
            "lockstitch.batch.size": sum(map(len, read)),
            "lockstitch.batch.bytes": sum(len(asked.data) for asked in batch),
            "lockstitch.batch.wait": (commit.at - traced.commit.at) / 1e9,
        }
        token, status = current.set(commit.span), UNSET
        try:
            return await self._commit(read)
        except BaseException as error:
            attributes["error.type"] = error.reason.value if isinstance(error, Failure) else type(error).__name__
            status = failed("the batch could not be committed")
            self._tell_soon(traced, [error] * len(traced.saves))
            raise
        finally:
            current.reset(token)
            links = [Link(save.span) for save in traced.saves]
            self._tracer.end("commit", commit, attributes, links=links, status=status)

    def _tell_soon(self, traced: _Batch, results: Sequence[Result | BaseException]) -> None:
        """Tell of the saves of a batch, in a row, when their answers have been written."""
        asyncio.get_running_loop().call_soon(self._tell, traced, results, time.time_ns())

    def _tell(self, traced: _Batch, results: Sequence[Result | BaseException], ended: int) -> None:
        begin, end = self._tracer.begin, self._tracer.end
        link = [Link(traced.commit.span)]
        for save, result in zip(traced.saves, results, strict=True):
            end("queue", begin(save.span, save.came), {}, at=max(traced.begun, save.came), links=link)
            at, read = save.read
            if save.fault:
                end("validate", begin(save.span, at), {"error.type": save.fault}, at=read, status=failed(save.fault))
            else:
                end("validate", begin(save.span, at), {}, at=read)
            if save.item is not None:
                _tell_item(save.item, result, ended)


def _tell_item(item: _Item, result: Result | BaseException, ended: int) -> None:
    if isinstance(result, BaseException):
        code = code_of(result).name if isinstance(result, Failure) else "INTERNAL"
        item.span.tell_about(code, item.about, item.size, ended, error=result)
    else:
        outcome = result.outcome.value if isinstance(result, Saved) else 0
        item.span.tell_about("OK", item.about, item.size, ended, outcome)


def _fault(wanted: Operation | Failure) -> str:
    return wanted.reason.value if isinstance(wanted, Failure) else ""


def _about(save: Operation | Failure) -> Subject:
    if not isinstance(save, Save):
        return Subject()
    return Subject(save.session_id, save.namespace, save.step, isinstance(save.state, DraftDelta))
