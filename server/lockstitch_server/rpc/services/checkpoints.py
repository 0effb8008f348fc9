"""`CheckpointService`: plain async functions of (request, context) -> answer.

Answers that carry checkpoints are bytes: they are put together from stored bytes without being parsed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.error_pb2 import Status
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format import search_terms
from lockstitch_server.core.format.checkpoint import timestamp
from lockstitch_server.core.format.reading import CheckpointCursor, CheckpointQuery, SessionCursor, SessionQuery
from lockstitch_server.core.format.rows import SessionSummary, session_damaged
from lockstitch_server.core.format.selection import ChannelSize, Selection
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.wire import encode
from lockstitch_server.engine.batching_queue import BatchingQueue
from lockstitch_server.engine.reads.answer_memory import AnswerMemory, Recipient, Reservation
from lockstitch_server.engine.reads.assembler import Loaded
from lockstitch_server.engine.reads.lister import CheckpointPage, Lister, Walk, not_found
from lockstitch_server.engine.reads.loader import Absent, Loader, LoadQuery, TooBig
from lockstitch_server.records.v1.record_pb2 import PageToken
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.errors import status_of
from lockstitch_server.rpc.metadata_facts import MetadataFacts
from lockstitch_server.rpc.paging import fingerprint, page_size, read_token, write_token
from lockstitch_server.rpc.save_stream import FlowLimits, PendingResponse, SaveStream
from lockstitch_server.rpc.session_summary import session_summary
from lockstitch_server.rpc.stream_batches import Chunk, StreamMessage
from lockstitch_server.saving import responses
from lockstitch_server.saving.save_requests import Kind, RawRequest

MAX_NS = 2**63 - 1
STREAM_WINDOW = 64
"""How many sessions of a LoadLatestStream are loaded at once, if they are small."""
SMALL_BYTES = 256 * 1024


class Handlers:
    """The service's methods by their names in the contract. Requests have been checked, except those that save."""

    def __init__(
        self,
        saves: BatchingQueue[RawRequest, bytes],
        loader: Loader,
        lister: Lister,
        limits: Limits,
        flow_limits: FlowLimits,
        memory: AnswerMemory,
        facts: MetadataFacts,
    ) -> None:
        self._memory = memory
        self._saves = saves
        self._flow_limits = flow_limits
        self._loader = loader
        self._lister = lister
        self._limits = limits
        self._facts = facts

    async def Save(self, data: bytes, context: CallContext) -> bytes:
        trace_id = context.trace_id()
        return await self._saves.submit(RawRequest(Kind.SAVE, context.tenant, data, trace_id, span=context.span))

    async def SaveWrites(self, data: bytes, context: CallContext) -> bytes:
        return await self._saves.submit(RawRequest(Kind.WRITES, context.tenant, data, span=context.span))

    def SaveStream(
        self, requests: AsyncIterator[StreamMessage], context: CallContext, closing: "asyncio.Future[None]"
    ) -> AsyncGenerator[bytes, None]:
        """The answers to a stream of saves, until it ends or the server is `closing`."""
        begin = partial(self._begin_save, context)
        room = partial(self._saves.wait_for_capacity, group=context.tenant)
        stream = SaveStream(begin, room, self._flow_limits, context.save_observer, context.pace_saves)
        return stream.run(requests, closing)

    def _begin_save(self, context: CallContext, chunk: Chunk, pending: PendingResponse) -> None:
        save = _StreamedSave(chunk, pending)
        kind = Kind.BATCH if chunk.is_batch else Kind.ITEM
        try:
            if context.save_observer is not None:
                context.save_observer.begin(chunk)
            if chunk.refusal is not None:
                raise chunk.refusal
            received_at = time.time_ns() if context.traces_items else 0
            request = RawRequest(
                kind,
                context.tenant,
                chunk.data,
                context.trace_id(),
                chunk.saves,
                parent=context.parent,
                received_at=received_at,
            )
            self._saves.enqueue(request, save)
        except Failure as failure:
            save.set_exception(failure)

    async def LoadLatest(self, request: pb.LoadLatestRequest, context: CallContext) -> bytes:
        loaded, reservation = await self._load(_load_latest(request, context), context)
        context.hold(reservation)
        return _latest(loaded)

    async def Load(self, request: pb.LoadRequest, context: CallContext) -> bytes:
        by_id = request.WhichOneof("selector") == "checkpoint_id"
        query = LoadQuery(
            session_key(context.tenant, request.session_id),
            context.tenant,
            request.session_id,
            request.namespace,
            "id" if by_id else "step",
            request.checkpoint_id if by_id else request.step,
            Selection(_with_state(request), frozenset(request.channels)),
        )
        loaded, reservation = await self._load(query, context)
        context.hold(reservation)
        if not isinstance(loaded, Loaded):
            raise not_found(request.session_id)
        return _loaded(loaded)

    async def LoadLatestStream(
        self, request: pb.LoadLatestStreamRequest, context: CallContext
    ) -> AsyncGenerator[bytes, None]:
        start, most = 0, STREAM_WINDOW
        while start < len(request.requests):
            window = request.requests[start : start + most]
            reservation = await self._reserve(context, len(window) * SMALL_BYTES)
            try:
                answers = await asyncio.gather(*(self._load_small(item, context) for item in window))
                small = list(_leading(answers))
                reservation.shrink(sum(map(len, small)))
                for number, answer in enumerate(small, start):
                    yield encode.unsigned(1, number) + answer
            finally:
                reservation.release()
            start, most = start + len(small), min(2 * most, STREAM_WINDOW)
            if len(small) < len(window):
                async with aclosing(self._load_large(window[len(small)], start, context)) as large:
                    async for answer in large:
                        yield answer
                start, most = start + 1, 1

    async def ListSessions(self, request: pb.ListSessionsRequest, context: CallContext) -> pb.ListSessionsResponse:
        bound_to = fingerprint(request, context.tenant)
        token = read_token(request.page_token, bound_to)
        query = SessionQuery(
            context.tenant,
            self._page_size(request.page_size),
            request.session_id_prefix,
            dict(request.labels),
            _ns(request.updated_since) if request.HasField("updated_since") else None,
            _ns(request.updated_before) if request.HasField("updated_before") else None,
            request.order_by == pb.SESSION_ORDER_SESSION_ID,
            SessionCursor(token.time, token.id) if token else None,
        )
        many = query.limit > self._limits.default_page_size
        reservation = await self._reserve(context, self._limits.max_page_bytes if many else 0)
        context.hold(reservation)
        page = await self._lister.sessions(query)
        response = pb.ListSessionsResponse(sessions=map(_summary, page.sessions))
        if page.more:
            last = page.sessions[-1].row
            next_token = PageToken(request_digest=bound_to, time=last.updated_at, id=last.session_id)
            response.next_page_token = write_token(next_token)
        reservation.shrink(response.ByteSize())
        return response

    async def ListCheckpoints(self, request: pb.ListCheckpointsRequest, context: CallContext) -> bytes:
        bound_to = fingerprint(request, context.tenant)
        token = read_token(request.page_token, bound_to)
        facts = await self._facts.of(context.tenant, request.metadata)
        query = _checkpoint_query(request, context, self._page_size(request.page_size), token, facts)
        selection = Selection(
            _with_state(request),
            frozenset(request.channels),
            request.include_writes,
            request.include_channel_sizes,
        )
        reservation = await self._page_memory(selection, context)
        context.hold(reservation)
        page = await self._lister.checkpoints(query, selection, total=request.include_total)
        if page.damaged and not request.skip_damaged:
            raise page.damaged[0].failure
        reservation.shrink(sum(map(_size, page.loaded)))
        return _checkpoint_page(page, bound_to, frozenset(request.write_channels))

    async def WalkAncestors(
        self, request: pb.WalkAncestorsRequest, context: CallContext
    ) -> AsyncGenerator[bytes, None]:
        walk = Walk(
            session_key(context.tenant, request.session_id),
            request.session_id,
            request.namespace,
            request.checkpoint_id,
            Selection(_with_state(request), frozenset(request.channels), request.include_writes),
            request.limit,
        )
        channels = frozenset(request.write_channels)
        async with aclosing(self._lister.ancestors(walk)) as pieces:
            while True:
                reservation = await self._page_memory(walk.selection, context)
                try:
                    piece = await anext(pieces, None)
                    if piece is None:
                        return
                    reservation.shrink(sum(map(_size, piece)))
                    for loaded in piece:
                        ancestor = encode.delimited(1, loaded.checkpoint) + _writes(2, loaded, channels)
                        yield ancestor + encode.unsigned(3, loaded.revision)
                finally:
                    reservation.release()

    async def _load(self, query: LoadQuery, context: CallContext) -> tuple[Loaded | Absent, Reservation]:
        """What is loaded, with the memory that it takes, which is to be released when the answer has been sent."""
        size = 0
        while True:
            reservation = await self._reserve(context, size)
            try:
                loaded = await self._loader.load(replace(query, room=reservation.size))
            except BaseException:
                reservation.release()
                raise
            if not isinstance(loaded, TooBig):
                reservation.shrink(_size(loaded))
                return loaded, reservation
            reservation.release()
            size = loaded.size

    async def _page_memory(self, selection: Selection, context: CallContext) -> Reservation:
        """Memory for a page of checkpoints; large ones that have no state and no writes in them are rare."""
        is_short = not (selection.state or selection.writes)
        return await self._reserve(context, 0 if is_short else self._limits.max_page_bytes)

    async def _reserve(self, context: CallContext, size: int = 0) -> Reservation:
        """Memory for an answer of this many bytes; 0: unknown."""
        recipient = Recipient(context.tenant, context.peer())
        return await self._memory.reserve(recipient, size, context.answer_weight)

    async def _load_small(self, request: pb.LoadLatestRequest, context: CallContext) -> bytes | None:
        """What of a stream is loaded beside others; None: it is too large for that."""
        try:
            loaded = await self._loader.load(replace(_load_latest(request, context), room=SMALL_BYTES))
        except Failure as failure:
            return encode.delimited(3, status_of(failure).SerializeToString())
        return None if isinstance(loaded, TooBig) else encode.delimited(2, _latest(loaded))

    async def _load_large(
        self, request: pb.LoadLatestRequest, number: int, context: CallContext
    ) -> AsyncGenerator[bytes, None]:
        """The answer to a request of a stream that is loaded alone: the others wait for its memory."""
        try:
            loaded, reservation = await self._load(_load_latest(request, context), context)
        except Failure as failure:
            yield encode.unsigned(1, number) + encode.delimited(3, status_of(failure).SerializeToString())
            return
        try:
            yield encode.unsigned(1, number) + encode.delimited(2, _latest(loaded))
        finally:
            reservation.release()

    def _page_size(self, asked: int) -> int:
        return page_size(asked, self._limits.default_page_size, self._limits.max_page_size)


class _StreamedSave:
    """Answers requests that came on a stream."""

    __slots__ = ("_chunk", "_pending")

    def __init__(self, chunk: Chunk, pending: PendingResponse) -> None:
        self._chunk = chunk
        self._pending = pending

    def done(self) -> bool:
        return self._pending.done()

    def set_result(self, answer: bytes) -> None:
        self._pending.answer(answer)

    def set_exception(self, failure: Failure) -> None:
        self._pending.answer(responses.failed(self._chunk, failure))


class _Viewed(Protocol):
    @property
    def view(self) -> "pb.CheckpointView.ValueType": ...


def _with_state(request: _Viewed) -> bool:
    return request.view != pb.CHECKPOINT_VIEW_HEADER


def _load_latest(request: pb.LoadLatestRequest, context: CallContext) -> LoadQuery:
    return LoadQuery(
        session_key(context.tenant, request.session_id),
        context.tenant,
        request.session_id,
        request.namespace,
        selection=Selection(_with_state(request), frozenset(request.channels)),
    )


def _checkpoint_query(
    request: pb.ListCheckpointsRequest,
    context: CallContext,
    limit: int,
    token: PageToken | None,
    metadata: Sequence[search_terms.Fact],
) -> CheckpointQuery:
    key = session_key(context.tenant, request.session_id) if request.session_id else None
    facts = list(metadata)
    if request.HasField("ran_node"):
        facts.append(search_terms.ran(request.ran_node))
    if request.HasField("skipped_node"):
        facts.append(search_terms.skipped(request.skipped_node))
    return CheckpointQuery(
        context.tenant,
        limit,
        key,
        request.namespace if request.HasField("namespace") else None,
        request.min_step if request.HasField("min_step") else None,
        request.max_step if request.HasField("max_step") else None,
        [search_terms.term(context.tenant.encode(), fact) for fact in facts],
        request.before_checkpoint_id,
        CheckpointCursor(token.time, token.key, token.namespace, token.id) if token else None,
        request.session_id,
    )


def _leading(answers: Iterable[bytes | None]) -> Iterator[bytes]:
    """The answers before the first one that is not there."""
    for answer in answers:
        if answer is None:
            return
        yield answer


def _size(loaded: Loaded | Absent) -> int:
    """Bytes of an answer, about."""
    return len(loaded.checkpoint) + sum(map(len, loaded.writes)) if isinstance(loaded, Loaded) else 0


def _latest(loaded: Loaded | Absent) -> bytes:
    return _loaded(loaded) if isinstance(loaded, Loaded) else encode.unsigned(3, loaded.session_revision)


def _loaded(loaded: Loaded) -> bytes:
    """LoadLatestResponse and LoadResponse, which are alike."""
    revisions = encode.unsigned(3, loaded.session_revision) + encode.unsigned(4, loaded.revision)
    return b"".join((*encode.nested(1, [loaded.checkpoint]), _writes(2, loaded), revisions, _trace(loaded)))


def _trace(loaded: Loaded) -> bytes:
    """The field `trace_id`, which has the same number everywhere."""
    return encode.text(5, loaded.trace_id.hex())


def _writes(number: int, loaded: Loaded, channels: frozenset[str] = frozenset()) -> bytes:
    return b"".join(
        encode.delimited(number, write)
        for write, channel in zip(loaded.writes, loaded.write_channels, strict=True)
        if not channels or channel in channels
    )


def _checkpoint_page(page: CheckpointPage, bound_to: bytes, write_channels: frozenset[str]) -> bytes:
    """A serialized ListCheckpointsResponse."""
    chunks = [encode.delimited(1, loaded.checkpoint) for loaded in page.loaded]
    chunks.extend(encode.delimited(4, _details(loaded, write_channels)) for loaded in page.loaded)
    if page.more:
        last = page.rows[-1].row
        token = PageToken(
            request_digest=bound_to, time=last.revision, key=last.key, id=last.checkpoint_id, namespace=last.namespace
        )
        chunks.append(encode.text(2, write_token(token)))
    if page.total is not None:
        chunks.append(encode.varint(3 << 3) + encode.varint(page.total))
    for session_id, namespace, checkpoint_id, failure in page.damaged:
        damaged = pb.DamagedCheckpoint(
            session_id=session_id, namespace=namespace, checkpoint_id=checkpoint_id, error=_status(failure)
        )
        chunks.append(encode.delimited(5, damaged.SerializeToString()))
    return b"".join(chunks)


def _status(failure: Failure) -> Status:
    return Status.FromString(status_of(failure).SerializeToString())


def _details(loaded: Loaded, write_channels: frozenset[str]) -> bytes:
    """A serialized CheckpointDetails."""
    return b"".join(
        (
            encode.unsigned(1, loaded.revision),
            encode.delimited(2, timestamp(loaded.saved_at)),
            encode.unsigned(3, loaded.state_bytes),
            _writes(4, loaded, write_channels),
            _trace(loaded),
            *[encode.delimited(6, _channel_size(size)) for size in loaded.channel_sizes],
        )
    )


def _channel_size(size: ChannelSize) -> bytes:
    """A serialized ChannelSize."""
    return encode.text(1, size.channel) + encode.unsigned(2, size.size) + encode.delimited(3, size.fingerprint)


def _summary(summary: SessionSummary) -> pb.SessionSummary:
    row = summary.row
    if row.damaged:
        return pb.SessionSummary(session_id=row.session_id, error=_status(session_damaged(row.session_id)))
    return session_summary(row, summary.latest_checkpoint_id, summary.latest_step, summary.labels, row.lease_holder)


def _ns(moment: Timestamp) -> int:
    """A moment in ns since 1970; moments that the store cannot hold become its first or last."""
    return max(-MAX_NS, min(MAX_NS, moment.ToNanoseconds()))
