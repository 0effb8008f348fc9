"""Records who did what to which session, and how it ended."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager

import grpc
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.audit import AuditLog, Record
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.wire_fields import Field, fields
from lockstitch_server.rpc.context import CallContext
from lockstitch_server.rpc.errors import code_of
from lockstitch_server.rpc.handlers import Incoming, StreamHandler, UnaryHandler
from lockstitch_server.rpc.named_sessions import finder

TOGETHER = 100
"""Most sessions in one record; a call that is about more has several."""
OK = "OK"
REQUEST_ID, SAVED, ERROR, BATCH = 1, 2, 3, 4
"""Fields of SaveStreamRequest (2: save) and SaveStreamResponse."""
CODES = {code.value[0]: code.name for code in grpc.StatusCode}

WITHOUT_TENANT = frozenset(
    {Reason.CREDENTIALS_MISSING, Reason.CREDENTIALS_INVALID, Reason.RIGHT_MISSING, Reason.TENANT_FORBIDDEN}
)
"""Reasons of calls that have not come to a tenant."""

Outcome = tuple[str, str]
"""A code and a reason."""


class Audit:
    """Writes records of calls, whether they are let in or not."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        find = finder(method)

        async def call(data: bytes, context: CallContext) -> bytes:
            with self._recorded(method, context, find(data)):
                return await handle(data, context)

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        return self._saves(method, handle) if method.client_streaming else self._answers(method, handle)

    def _answers(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        find = finder(method)

        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            assert isinstance(incoming, bytes)
            with self._recorded(method, context, find(incoming)):
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer

        return call

    def _saves(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            assert not isinstance(incoming, bytes)
            items = _Items(method)
            with self._recorded(method, context, [], items):
                async with aclosing(handle(items.noting(incoming), context)) as answers:
                    async for answer in answers:
                        for session, outcome in items.answered(answer):
                            self._record(method, context, [session], outcome)
                        yield answer

        return call

    @contextmanager
    def _recorded(
        self, method: MethodDescriptor, context: CallContext, sessions: Sequence[str], items: "_Items | None" = None
    ) -> Iterator[None]:
        """Records a call when it has ended; of a stream of saves, those that have no answer, and a failure."""
        outcome = OK, ""
        try:
            yield
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            if items is None:
                for start in range(0, len(sessions) or 1, TOGETHER):
                    self._record(method, context, sessions[start : start + TOGETHER], outcome)
            elif outcome[0] != OK:
                self._record(method, context, items.waiting(), outcome)

    def _record(
        self, method: MethodDescriptor, context: CallContext, sessions: Sequence[str], outcome: Outcome
    ) -> None:
        principal = context.principal.name if context.principal else ""
        tenant = "" if outcome[1] in WITHOUT_TENANT else context.tenant
        peer, request_id = context.transport.peer(), context.call_id()
        self._log.put(Record(time.time(), method.name, principal, tenant, sessions, *outcome, peer, request_id))


class _Items:
    """The saves of one stream that wait for their answers."""

    def __init__(self, method: MethodDescriptor) -> None:
        self._find = finder(method)
        self._waiting: dict[int, list[str]] = {}

    async def noting(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The requests, as they are."""
        async for data in requests:
            for item in _items(data):
                number = next((field.value for field in fields(item) if field.number == REQUEST_ID), 0)
                self._waiting.setdefault(number, []).append("".join(self._find(item)))
            yield data

    def answered(self, data: bytes) -> Iterator[tuple[str, Outcome]]:
        """Which saves an answer tells of, and how they ended."""
        for item in _items(data):
            found = list(fields(item))
            number = next((field.value for field in found if field.number == REQUEST_ID), 0)
            sessions = self._waiting.get(number) or [""]
            yield sessions.pop(0), _item_outcome(found)
            if not sessions:
                self._waiting.pop(number, None)

    def waiting(self) -> list[str]:
        """The sessions of saves without an answer."""
        return sorted({session for sessions in self._waiting.values() for session in sessions})


def _items(data: bytes) -> list[memoryview]:
    """What a message of a stream holds: a batch, or itself."""
    return [field.data for field in fields(data) if field.number == BATCH] or [memoryview(data)]


def _item_outcome(found: Sequence[Field]) -> Outcome:
    for field in found:
        if field.number == ERROR:
            code = next((inner.value for inner in fields(field.data) if inner.number == 1), 0)
            return CODES.get(code, "UNKNOWN"), ""
    return OK, ""


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, Failure):
        return code_of(error).name, error.reason.value
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return grpc.StatusCode.CANCELLED.name, ""
    return grpc.StatusCode.INTERNAL.name, ""
