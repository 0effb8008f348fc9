"""A server of `Save` and `SaveStream` that keeps what it is sent, and ends streams as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from grpc import aio

from lockstitch import Reason, UnknownBase
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse, SaveStreamRequest, SaveStreamResponse
from lockstitch.v1.error_pb2 import Status
from tests.client.model import ModelServer
from tests.client.test_errors import details

Requests = AsyncIterator[SaveStreamRequest]
Context: TypeAlias = "aio.ServicerContext[SaveStreamRequest, SaveStreamResponse]"
Stream = Callable[["Streaming", Requests, Context], Awaitable[None]]


def status(code: grpc.StatusCode, reason: str = "") -> Status:
    return Status.FromString(details(reason, code))


@dataclass
class Streaming:
    """What came. `scripts`: how the streams go, the last one also for all that follow."""

    scripts: list[Stream]
    stored: ModelServer = field(default_factory=ModelServer)
    streams: list[list[SaveRequest]] = field(default_factory=list)
    alone: list[SaveRequest] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    ended: int = 0
    takes_batches: bool = False
    messages: int = 0
    """How many SaveStreamRequests came, of one save or several."""
    target: str = ""

    @property
    def streamed(self) -> list[SaveRequest]:
        """All that came over streams."""
        return [request for stream in self.streams for request in stream]

    def answer(self, request: SaveStreamRequest) -> SaveStreamResponse:
        """Store it."""
        copy, batches = SaveRequest.FromString(request.save.SerializeToString()), self.takes_batches
        try:
            saved = self.stored.stored(copy)
            return SaveStreamResponse(request_id=request.request_id, saved=saved, takes_batches=batches)
        except UnknownBase:
            error = status(grpc.StatusCode.FAILED_PRECONDITION, Reason.UNKNOWN_BASE)
            return SaveStreamResponse(request_id=request.request_id, error=error)

    async def save(self, request: SaveRequest, context: Any) -> SaveResponse:
        self.alone.append(SaveRequest.FromString(request.SerializeToString()))
        return self.stored.stored(request)

    async def save_stream(self, requests: Requests, context: Context) -> None:
        came: list[SaveRequest] = []
        self.streams.append(came)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            await script(self, self._noted(requests, came), context)
        finally:
            self.ended += 1

    async def _noted(self, requests: Requests, came: list[SaveRequest]) -> Requests:
        async for message in requests:
            self.messages += 1
            assert self.takes_batches or not message.batch
            for request in message.batch or [message]:
                came.append(request.save)
                yield request


@asynccontextmanager
async def streaming_server(
    *scripts: Stream,
    options: Sequence[tuple[str, Any]] = (),
    bidirectional: bool = True,
    takes_batches: bool = False,
) -> AsyncIterator[Streaming]:
    """A server on a port of its own. Not `bidirectional`: it has no SaveStream."""
    streaming = Streaming(list(scripts) or [answer_all], takes_batches=takes_batches)
    methods: dict[str, Any] = {
        "Save": grpc.unary_unary_rpc_method_handler(
            streaming.save, SaveRequest.FromString, SaveResponse.SerializeToString
        )
    }
    if bidirectional:
        methods["SaveStream"] = grpc.stream_stream_rpc_method_handler(
            streaming.save_stream, SaveStreamRequest.FromString, SaveStreamResponse.SerializeToString
        )
    server = aio.server(options=list(options))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lockstitch.v1.CheckpointService", methods),))
    streaming.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield streaming
    finally:
        await server.stop(None)


async def answer_all(server: Streaming, requests: Requests, context: Context) -> None:
    async for request in requests:
        await context.write(server.answer(request))


async def answer_nothing(server: Streaming, requests: Requests, context: Context) -> None:
    async for _ in requests:
        pass
    await asyncio.Event().wait()


def answer_then_end(count: int, code: grpc.StatusCode = grpc.StatusCode.OK) -> Stream:
    """Answer so many; take one more in, and store it, and end without an answer to it."""

    async def script(server: Streaming, requests: Requests, context: Context) -> None:
        left = count
        async for request in requests:
            answer = server.answer(request)
            if not left:
                break
            left -= 1
            await context.write(answer)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, "as told")

    return script


def refuse(times: int, code: grpc.StatusCode, reason: str = "") -> Stream:
    """Answer the first requests with an error, and all others well."""
    left = times

    async def script(server: Streaming, requests: Requests, context: Context) -> None:
        nonlocal left
        async for request in requests:
            if left:
                left -= 1
                await context.write(SaveStreamResponse(request_id=request.request_id, error=status(code, reason)))
            else:
                await context.write(server.answer(request))

    return script


def refuse_once(session_id: str) -> Stream:
    """Answer each checkpoint of a session with UNAVAILABLE when it comes for the first time."""
    refused: set[int] = set()

    async def script(server: Streaming, requests: Requests, context: Context) -> None:
        async for request in requests:
            checkpoint = request.save.checkpoint
            if checkpoint.session_id == session_id and checkpoint.step not in refused:
                refused.add(checkpoint.step)
                error = status(grpc.StatusCode.UNAVAILABLE, Reason.OVERLOADED)
                await context.write(SaveStreamResponse(request_id=request.request_id, error=error))
            else:
                await context.write(server.answer(request))

    return script
