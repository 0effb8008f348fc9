"""Saves by the batch: from requests as bytes to answers as bytes.

A batch of requests is read, planned and answered in a third of the time that they take one by one, between other work.
Nothing here knows of calls.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.intake import save_operation, save_writes_operation
from lockstitch_server.core.operations import Operation, Result, Saved
from lockstitch_server.engine.committer import Committer
from lockstitch_server.rpc import save_answers
from lockstitch_server.rpc.observers import SaveCounts
from lockstitch_server.rpc.requests import Requests
from lockstitch_server.rpc.stream_batches import items_of, request_id
from lockstitch_server.telemetry.trace_context import ID_BYTES, trace_id_in

STREAM_OVERHEAD = 16 * 1024 + 64
"""Most bytes that a SaveStreamRequest has beside its SaveRequest: its number, and the trace it is a part of."""


class Kind(IntEnum):
    """What a request is, and so its answer."""

    SAVE = 1
    ITEM = 2
    """Of a SaveStream."""
    WRITES = 3
    BATCH = 4
    """Many items of a SaveStream."""


class Asked(NamedTuple):
    """A request that nobody has looked into yet."""

    kind: int
    tenant: str
    data: bytes
    trace: bytes = b""
    """The id of the trace that the call belongs to, if any; more follows where it is sampled here."""
    operations: int = 1
    """How many operations it asks for, about."""
    came: int = 0
    """When it came, in ns since 1970, where its saves may be traced."""


Wanted: TypeAlias = tuple[int, Operation | Failure]
"""What is asked for, or why it cannot be done; with the number of an item."""


class Item(NamedTuple):
    """A save out of a message."""

    number: int
    whole: pb.SaveRequest | pb.SaveStreamRequest
    """What the message said of it: a SaveRequest or a SaveStreamRequest."""
    trace_id: bytes = b""
    carrier: Mapping[str, str] = {}
    """What names the trace that it is a part of, where it does so itself."""


class Undecodable(NamedTuple):
    """An item of a batch that is no message; its neighbours are carried out."""

    number: int
    failure: Failure


class Saves:
    """Does what requests ask for, each as far as it can be done."""

    def __init__(self, committer: Committer, limits: Limits, counts: SaveCounts | None = None) -> None:
        self._committer = committer
        self._requests = Requests(limits)
        self._counts = counts
        self._turn = asyncio.Lock()
        self._largest_item = limits.max_message_bytes + STREAM_OVERHEAD

    async def work(self, batch: Sequence[Asked]) -> Sequence[bytes | Failure]:
        """The answer to each request, durable. Fails with what befalls all of them."""
        read = [self._read(asked) for asked in batch]
        async with self._turn:  # first come, first served
            done = await self._commit(read)
        return self._answered(batch, read, done)

    async def _commit(self, read: Sequence[Sequence[Wanted]]) -> Sequence[Result | Failure]:
        """The results of what can be done of it."""
        operations = [wanted for many in read for _, wanted in many if not isinstance(wanted, Failure)]
        return await self._committer.commit(operations) if operations else ()

    def _answered(
        self, batch: Sequence[Asked], read: Sequence[Sequence[Wanted]], done: Sequence[Result | Failure]
    ) -> list[bytes | Failure]:
        """The answer to each request, out of the results of what could be done."""
        each = iter(done)
        results = [[(number, _result(wanted, each)) for number, wanted in many] for many in read]
        if self._counts is not None:
            self._counts.done((len(asked.data) for asked in batch), results)
        return [_answer(asked.kind, many) for asked, many in zip(batch, results, strict=True)]

    def _read(self, asked: Asked) -> list[Wanted]:
        try:
            if asked.kind == Kind.WRITES:
                return [(0, save_writes_operation(self._requests.read(pb.SaveWritesRequest, asked.data), asked.tenant))]
            return self._read_saves(asked)
        except Failure as failure:
            return [(0, failure)]

    def _read_saves(self, asked: Asked) -> list[Wanted]:
        """What is asked for, or why it cannot be done. Fails with what stands against the message as a whole."""
        if asked.kind == Kind.SAVE:
            self._requests.check_size(len(asked.data))
        return [(item.number, self._operation(item, asked)) for item in self._items(asked)]

    def _items(self, asked: Asked) -> list[Item | Undecodable]:
        """The saves of a message. Fails with INVALID_FIELD where it is none."""
        own = asked.trace[:ID_BYTES]
        if asked.kind == Kind.SAVE:
            return [Item(0, self._requests.parse(pb.SaveRequest, asked.data), own)]
        items = items_of(asked.data) if asked.kind == Kind.BATCH else [asked.data]
        return [self._item(data, own) for data in items]

    def _item(self, data: bytes, own: bytes) -> Item | Undecodable:
        try:
            item = self._requests.parse(pb.SaveStreamRequest, data)
        except Failure as failure:
            return Undecodable(request_id(data), failure)
        carrier = item.trace_context
        return Item(item.request_id, item, trace_id_in(carrier) or own, carrier)

    def _operation(self, item: Item | Undecodable, asked: Asked) -> Operation | Failure:
        """What is asked for, or what is wrong with it."""
        if isinstance(item, Undecodable):
            return item.failure
        whole = item.whole
        try:
            if len(asked.data) > self._largest_item:
                self._requests.check_size(whole.ByteSize(), self._largest_item)
            self._requests.check(whole)
            save = whole.save if isinstance(whole, pb.SaveStreamRequest) else whole
            return save_operation(save, asked.tenant, item.trace_id)
        except Failure as failure:
            return failure


def _result(wanted: Operation | Failure, done: Iterator[Result | Failure]) -> Result | Failure:
    return wanted if isinstance(wanted, Failure) else next(done)


def _answer(kind: int, results: Sequence[tuple[int, Result | Failure]]) -> bytes | Failure:
    if kind == Kind.BATCH:
        return save_answers.batch(results)
    number, result = results[0]
    if kind == Kind.ITEM:
        return save_answers.item(number, result)
    if isinstance(result, Failure):
        return result
    if isinstance(result, Saved):
        return save_answers.saved(result)
    return pb.SaveWritesResponse(revision=result.revision, stored=result.stored).SerializeToString()
