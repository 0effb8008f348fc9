"""Saves in batches: from requests as bytes to responses as bytes.

To parse, commit and answer requests in a batch takes a third of the time that they take one by one. Nothing here knows
of calls.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeGuard

import structlog

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.planning.operations import Operation, Result, Saved
from lockstitch_server.engine.batching_queue import SLICE, Late
from lockstitch_server.engine.committer import Committer
from lockstitch_server.engine.held_saves import Results
from lockstitch_server.rpc.requests import Requests
from lockstitch_server.rpc.stream_batches import items_of, request_id
from lockstitch_server.saving import responses
from lockstitch_server.saving.intake import save_operation, save_writes_operation
from lockstitch_server.saving.save_observer import BatchObserver, ObserveBatch, safe, unobserved
from lockstitch_server.saving.save_requests import Item, Kind, ParsedSave, RawRequest

log = structlog.get_logger(__name__)

STREAM_OVERHEAD = 16 * 1024 + 64
"""Maximum bytes of a SaveStreamRequest beside its SaveRequest: its number and its trace."""


class SaveWorker:
    """Processes batches of requests that save. A request that fails does not fail the others."""

    def __init__(self, committer: Committer, limits: Limits, observe: ObserveBatch = unobserved) -> None:
        self._committer = committer
        self._requests = Requests(limits)
        self._observe = safe(observe)
        self._observing: set[asyncio.Task[None]] = set()
        self._largest_item = limits.max_message_bytes + STREAM_OVERHEAD

    async def process_batch(self, batch: Sequence[RawRequest]) -> Sequence[bytes | Failure | Late[bytes]]:
        """The response to each request; late if any of its saves is held. What was saved is durable.

        Fails where no request can be carried out.
        """
        observer = self._observe(batch)
        try:
            parsed = []
            for place, request in enumerate(batch, 1):
                parsed.append(self._parse(request, observer))
                if place % SLICE == 0:
                    await asyncio.sleep(0)
            with observer.committing():
                results = await self._commit(parsed)
        except BaseException as error:
            observer.failed(error)
            raise
        settled = [saves for saves in results if _is_settled(saves)]
        if len(settled) == len(results):
            observer.done(batch, settled)
        else:
            task = asyncio.create_task(_observe_late(observer, batch, results))
            self._observing.add(task)
            task.add_done_callback(self._observing.discard)
        return [_response_or_late(*each) for each in zip(batch, parsed, results, strict=True)]

    async def _commit(self, parsed: Sequence[Sequence[ParsedSave]]) -> Sequence[Results]:
        """Commit all operations. Returns the results of each request."""
        operations = [save for saves in parsed for _, save in saves if not isinstance(save, Failure)]
        results = iter(await self._committer.commit(operations) if operations else ())
        return [[save if isinstance(save, Failure) else next(results) for _, save in saves] for saves in parsed]

    def _parse(self, request: RawRequest, observer: BatchObserver) -> list[ParsedSave]:
        """The saves of a request, parsed and validated. A message that cannot be read counts as one failed save."""
        try:
            parsed = self._saves(request, observer)
        except Failure as failure:
            parsed = [(0, failure.with_traceback(None))]  # which would keep the batch until the next garbage collection
        except Exception:
            parsed = [(0, _broken())]
        observer.request_parsed(request, parsed)
        return parsed

    def _saves(self, request: RawRequest, observer: BatchObserver) -> list[ParsedSave]:
        """The saves of a request. Fails where the message as a whole cannot be read."""
        if request.kind == Kind.WRITES:
            writes = self._requests.read(pb.SaveWritesRequest, request.data)
            return [(0, save_writes_operation(writes, request.tenant))]
        if request.kind == Kind.SAVE:
            self._requests.check_size(len(request.data))
            item = Item(0, self._requests.parse(pb.SaveRequest, request.data))
            return [(0, self._operation(request, 0, item, observer))]
        items = items_of(request.data) if request.kind == Kind.BATCH else [request.data]
        return [self._streamed_save(request, place, item, observer) for place, item in enumerate(items)]

    def _streamed_save(self, request: RawRequest, place: int, data: bytes, observer: BatchObserver) -> ParsedSave:
        try:
            message = self._requests.parse(pb.SaveStreamRequest, data)
        except Failure as failure:
            return request_id(data), failure
        item = Item(message.request_id, message, message.trace_context)
        return item.number, self._operation(request, place, item, observer)

    def _operation(self, request: RawRequest, place: int, item: Item, observer: BatchObserver) -> Operation | Failure:
        """The operation of a save, or why it is refused. place: its index among the saves of its request."""
        message, trace_id = item.message, observer.trace_id(request, place, item)
        try:
            if len(request.data) > self._largest_item:
                self._requests.check_size(message.ByteSize(), self._largest_item)
            self._requests.check(message)
            save = message.save if isinstance(message, pb.SaveStreamRequest) else message
            return save_operation(save, request.tenant, trace_id)
        except Failure as failure:
            return failure.with_traceback(None)
        except Exception:
            return _broken()


def _broken() -> Failure:
    """The failure of one save by a fault of the server. The rest of its batch goes on."""
    log.exception("item_failed")
    return Failure(Reason.INTERNAL, "the server failed to do this")


def _is_settled(results: Results) -> TypeGuard[Sequence[Result | Failure]]:
    """Whether none of the saves is held."""
    return not any(isinstance(result, asyncio.Future) for result in results)


async def _settled(results: Results) -> Sequence[Result | Failure]:
    """The results, when none of the saves is held any more."""
    return [await result if isinstance(result, asyncio.Future) else result for result in results]


async def _observe_late(observer: BatchObserver, batch: Sequence[RawRequest], results: Sequence[Results]) -> None:
    observer.done(batch, [await _settled(saves) for saves in results])


def _response_or_late(
    request: RawRequest, parsed: Sequence[ParsedSave], results: Results
) -> bytes | Failure | Late[bytes]:
    """The response to a request; late if any of its saves is held."""
    if _is_settled(results):
        return _response(request, parsed, results)

    async def respond() -> bytes | Failure:
        return _response(request, parsed, await _settled(results))

    return asyncio.create_task(respond())


def _response(
    request: RawRequest, parsed: Sequence[ParsedSave], results: Sequence[Result | Failure]
) -> bytes | Failure:
    """The response to a request. If it cannot be made, only this request fails: the others have been saved too."""
    try:
        if request.kind == Kind.BATCH:
            return responses.batch((number, result) for (number, _), result in zip(parsed, results, strict=True))
        (number, _), result = parsed[0], results[0]
        if request.kind == Kind.ITEM:
            return responses.item(number, result)
        if isinstance(result, Failure):
            return result
        return responses.saved(result) if isinstance(result, Saved) else responses.stored(result)
    except Exception:
        return _broken()
