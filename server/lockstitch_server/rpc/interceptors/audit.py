"""Records who did what to which session, and how it ended, before the caller is answered."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.rpc.error_details_pb2 import ErrorInfo

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.audit import AuditLog, AuditUnavailable, Record
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.errors import code_of_error
from lockstitch_server.rpc.handler_types import Incoming, StreamHandler, UnaryHandler
from lockstitch_server.rpc.named_sessions import sessions_of, subject_projection
from lockstitch_server.rpc.request_subject import request_of
from lockstitch_server.rpc.stream_batches import Chunk
from lockstitch_server.saving import responses

TOGETHER = 100
"""Most sessions in one record; a call that is about more has several."""
STRANGERS_SHARE = 0.5
"""The part of the queue that records of callers who are not known may fill: they must not crowd out the others."""
CODES = {code.value[0]: code.name for code in grpc.StatusCode}

WITHOUT_TENANT = frozenset(
    {Reason.CREDENTIALS_MISSING, Reason.CREDENTIALS_INVALID, Reason.RIGHT_MISSING, Reason.TENANT_FORBIDDEN}
)
"""Reasons of calls that have not come to a tenant."""

Outcome = tuple[str, str]
"""A code and a reason."""
OK: Outcome = ("OK", "")


class Audit:
    """Writes records of calls, whether they are let in or not."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        async def call(data: bytes, context: CallContext) -> bytes:
            records = _Records(self._log, method, context)
            try:
                answer = await handle(data, context)
            except BaseException as error:
                await records.keep(_sessions(method, data, context), _outcome(error))
                raise
            await records.keep(_sessions(method, data, context), OK)
            return answer

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        return self._saves(method, handle) if method.client_streaming else self._answers(method, handle)

    def _answers(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            assert isinstance(incoming, bytes)
            records = _Records(self._log, method, context)
            try:
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer
            except BaseException as error:
                await records.keep(_sessions(method, incoming, context), _outcome(error))
                raise
            await records.keep(_sessions(method, incoming, context), OK)

        return call

    def _saves(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            saves = StreamRecords(_Records(self._log, method, context), method)
            context.save_observer = saves
            try:
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer
            except BaseException as error:
                await saves.ended(_outcome(error))
                raise

        return call


class RequiredAudit:
    """Lets only calls in whose records will be kept. Stands behind all that may refuse a call."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        async def call(data: bytes, context: CallContext) -> bytes:
            self._admit(context)
            return await handle(data, context)

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            self._admit(context)
            async with aclosing(handle(incoming, context)) as answers:
                async for answer in answers:
                    yield answer

        return call

    def _admit(self, context: CallContext) -> None:
        check_room(self._log)
        context.must_be_recorded = True


class StreamRecords:
    """The records of the saves of one stream: each save has one, when it has been carried out or has failed."""

    def __init__(self, records: "_Records", method: MethodDescriptor) -> None:
        self._records = records
        self._method = method
        self._waiting: dict[Chunk, list[list[str]]] = {}
        """The sessions of each save that has no answer yet."""
        self._refused: set[Chunk] = set()

    def begin(self, chunk: Chunk) -> None:
        """See SaveObserver. Fails with OVERLOADED where records must be kept and cannot."""
        self._waiting[chunk] = [self._sessions(item) for item in chunk.items()]
        if self._records.log.required:
            try:
                check_room(self._records.log)
            except Failure:
                self._refused.add(chunk)
                raise

    def answered(self, chunk: Chunk, answer: bytes) -> "asyncio.Future[bytes] | None":
        """See SaveObserver."""
        sessions, message = self._waiting.pop(chunk), pb.SaveStreamResponse.FromString(answer)
        outcomes = [_item_outcome(item) for item in (message.batch if chunk.is_batch else [message])]
        must = chunk not in self._refused
        self._refused.discard(chunk)
        kept = [self._records.put(named, outcome, must=must) for named, outcome in zip(sessions, outcomes, strict=True)]
        return self._later(chunk, answer, kept[-1]) if kept[-1] is not None else None

    async def ended(self, outcome: Outcome) -> None:
        """The call has failed: so may have those of its saves that have no answer."""
        names = sorted({name for chunk in self._waiting.values() for named in chunk for name in named})
        await self._records.keep(names, outcome)

    def _later(self, chunk: Chunk, answer: bytes, written: "asyncio.Future[bool]") -> "asyncio.Future[bytes]":
        """The answer once its last record, and so all, are written."""
        later: asyncio.Future[bytes] = written.get_loop().create_future()

        def on_written(done: "asyncio.Future[bool]") -> None:
            later.set_result(answer if done.result() else responses.failed(chunk, _not_written()))

        written.add_done_callback(on_written)
        return later

    def _sessions(self, item: bytes) -> list[str]:
        try:
            return sessions_of(self._method, subject_projection(self._method).read(item))
        except Failure:  # it will be refused, by the same decoder
            return []


class _Records:
    """The records of one call."""

    def __init__(self, log: AuditLog, method: MethodDescriptor, context: CallContext) -> None:
        self.log = log
        self._method = method
        self._context = context
        # At its end, gRPC may have freed the call.
        self._peer, self._request_id = context.peer(), context.call_id()

    async def keep(self, sessions: Sequence[str], outcome: Outcome) -> None:
        """Record a call that has ended. Fails with OVERLOADED where that must be written and cannot."""
        written = None
        for start in range(0, len(sessions) or 1, TOGETHER):
            written = self.put(sessions[start : start + TOGETHER], outcome, must=True)
        if written is not None and outcome[0] != grpc.StatusCode.CANCELLED.name and not await written:
            raise _not_written()

    def put(self, sessions: Sequence[str], outcome: Outcome, *, must: bool) -> "asyncio.Future[bool] | None":
        """Record something. Gives whether it has been written, where somebody must wait for that.

        must: whether it was done, or may have been.
        """
        context = self._context
        principal = context.principal.name if context.principal else ""
        tenant = "" if outcome[1] in WITHOUT_TENANT else context.tenant
        caller = self._peer, self._request_id
        record = Record(time.time(), self._method.name, principal, tenant, sessions, *outcome, *caller)
        if not (must and context.must_be_recorded):
            self.log.put(record, share=1 if context.is_identified else STRANGERS_SHARE)
            return None
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()

        def on_written(is_written: bool) -> None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(_finish, written, is_written)

        self.log.put(record, must=True, on_written=on_written)
        return written


def check_room(log: AuditLog) -> None:
    """Fails with OVERLOADED where the record of a further call might not be kept."""
    try:
        log.check_room()
    except AuditUnavailable as error:
        raise Failure(
            Reason.OVERLOADED, f"{error}: nothing was done, since audit.required is set; retry later"
        ) from error


def _not_written() -> Failure:
    return Failure(Reason.OVERLOADED, "the call ended, but its audit record is not written yet; retry later")


def _finish(future: "asyncio.Future[bool]", result: bool) -> None:
    if not future.done():
        future.set_result(result)


def _sessions(method: MethodDescriptor, data: bytes, context: CallContext) -> list[str]:
    """The sessions that a request names; none where it cannot be decoded, or nobody knows who calls."""
    request = request_of(method, data, context)
    return sessions_of(method, request) if request is not None else []


def _item_outcome(answer: pb.SaveStreamResponse) -> Outcome:
    if not answer.HasField("error"):
        return OK
    reason = ErrorInfo()
    for detail in answer.error.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(reason)
    return CODES.get(answer.error.code, "UNKNOWN"), reason.reason


def _outcome(error: BaseException) -> Outcome:
    return code_of_error(error).name, error.reason.value if isinstance(error, Failure) else ""
