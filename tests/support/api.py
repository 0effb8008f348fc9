"""The service as tests call it: in this process, or on a real server. Answers and errors are alike."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import session_service_pb2
from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure
from lockstitch_server.engine.maintenance.merger import Merger
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.dispatcher import CHECKPOINT_SERVICE, Dispatcher
from lockstitch_server.rpc.errors import status_of
from lockstitch_server.runtime.server import create_engine
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage import Store

DETAILS_KEY = "grpc-status-details-bin"
CALL_SECONDS = 30
SESSION_SERVICE = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
METHODS = {method.name: method for service in (CHECKPOINT_SERVICE, SESSION_SERVICE) for method in service.methods}
"""Of both services; no name is in both."""
Metadata = Sequence[tuple[str, str | bytes]]
CODES = {code.value[0]: code for code in grpc.StatusCode}


class ApiError(Exception):
    """A failed call, as far as a client can see it."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"{CODES[status.code].name}: {status.message}")
        self.code = CODES[status.code]
        self.message = status.message
        self.details = [_unpacked(detail) for detail in status.details]

    @property
    def info(self) -> Any:
        """The ErrorInfo, which every error has."""
        return self.detail("ErrorInfo")

    @property
    def reason(self) -> str:
        return str(self.info.reason)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.info.metadata)

    def detail(self, name: str) -> Any:
        """The detail of this type."""
        (found,) = (detail for detail in self.details if detail.DESCRIPTOR.name == name)
        return found


class Api(ABC):
    """The RPCs. They raise ApiError."""

    async def save(self, request: pb.SaveRequest) -> pb.SaveResponse:
        answer: pb.SaveResponse = await self.unary("Save", request)
        return answer

    async def save_writes(self, request: pb.SaveWritesRequest) -> pb.SaveWritesResponse:
        answer: pb.SaveWritesResponse = await self.unary("SaveWrites", request)
        return answer

    async def load_latest(self, request: pb.LoadLatestRequest) -> pb.LoadLatestResponse:
        answer: pb.LoadLatestResponse = await self.unary("LoadLatest", request)
        return answer

    async def load(self, request: pb.LoadRequest) -> pb.LoadResponse:
        answer: pb.LoadResponse = await self.unary("Load", request)
        return answer

    def load_latest_stream(self, request: pb.LoadLatestStreamRequest) -> AsyncIterator[pb.LoadLatestStreamResponse]:
        return self.stream("LoadLatestStream", request)

    async def list_sessions(self, request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        answer: pb.ListSessionsResponse = await self.unary("ListSessions", request)
        return answer

    async def list_checkpoints(self, request: pb.ListCheckpointsRequest) -> pb.ListCheckpointsResponse:
        answer: pb.ListCheckpointsResponse = await self.unary("ListCheckpoints", request)
        return answer

    def walk_ancestors(self, request: pb.WalkAncestorsRequest) -> AsyncIterator[pb.WalkAncestorsResponse]:
        return self.stream("WalkAncestors", request)

    @abstractmethod
    async def unary(self, name: str, request: Message) -> Any:
        """Call a method with one answer."""

    @abstractmethod
    def stream(self, name: str, request: Message) -> AsyncIterator[Any]:
        """Call a method with many answers."""

    @abstractmethod
    def save_stream(self, requests: AsyncIterator[bytes]) -> AsyncIterator[pb.SaveStreamResponse]:
        """Call SaveStream, with whatever bytes."""

    @abstractmethod
    async def send_bytes(self, name: str, data: bytes) -> None:
        """Call a method with one answer, with whatever bytes."""


class RawApi(Api):
    """The engine in this process."""

    def __init__(self, store: Store, dispatcher: Dispatcher, merger: Merger | None) -> None:
        self.store = store
        self.merger = merger
        """Runs only where a test has it run."""
        self._dispatcher = dispatcher

    async def unary(self, name: str, request: Message) -> Any:
        method = METHODS[name]
        with _failures_as_errors():
            answer = await self._dispatcher.unary(method, request.SerializeToString(), CallContext())
        return GetMessageClass(method.output_type).FromString(answer)

    async def stream(self, name: str, request: Message) -> AsyncIterator[Any]:
        method = METHODS[name]
        make = GetMessageClass(method.output_type).FromString
        with _failures_as_errors():
            async for answer in self._dispatcher.stream(method, request.SerializeToString(), CallContext()):
                yield make(answer)

    async def save_stream(self, requests: AsyncIterator[bytes]) -> AsyncIterator[pb.SaveStreamResponse]:
        with _failures_as_errors():
            async for answer in self._dispatcher.stream(METHODS["SaveStream"], requests, CallContext()):
                yield pb.SaveStreamResponse.FromString(answer)

    async def send_bytes(self, name: str, data: bytes) -> None:
        with _failures_as_errors():
            await self._dispatcher.unary(METHODS[name], data, CallContext())


class GrpcApi(Api):
    """A server behind a channel."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata = ()) -> None:
        self._channel = channel
        self._metadata = metadata

    async def unary(self, name: str, request: Message) -> Any:
        make = GetMessageClass(METHODS[name].output_type).FromString
        call: Any = self._channel.unary_unary(_path(name), type(request).SerializeToString, make)
        try:
            return await call(request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def stream(self, name: str, request: Message) -> AsyncIterator[Any]:
        make = GetMessageClass(METHODS[name].output_type).FromString
        call: Any = self._channel.unary_stream(_path(name), type(request).SerializeToString, make)
        try:
            async for answer in call(request, timeout=CALL_SECONDS, metadata=self._metadata):
                yield answer
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def save_stream(self, requests: AsyncIterator[bytes]) -> AsyncIterator[pb.SaveStreamResponse]:
        method: Any = self._channel.stream_stream(_path("SaveStream"))
        call = method(requests, timeout=CALL_SECONDS, metadata=self._metadata)
        try:
            async for answer in call:
                yield pb.SaveStreamResponse.FromString(answer)
        except grpc.aio.AioRpcError as error:
            _raise(error)
        finally:
            call.cancel()

    async def send_bytes(self, name: str, data: bytes) -> None:
        call: Any = self._channel.unary_unary(_path(name))
        try:
            await call(data, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            _raise(error)


def _path(name: str) -> str:
    """A method as gRPC calls it."""
    service = METHODS[name].containing_service
    assert service is not None
    return f"/{service.full_name}/{name}"


@asynccontextmanager
async def raw_api(settings: Settings) -> AsyncIterator[RawApi]:
    """The engine over the store of these settings."""
    async with open_store(settings) as store:
        engine = create_engine(store, settings)
        try:
            yield RawApi(store, engine.dispatcher, engine.merger)
        finally:
            await engine.close()


@asynccontextmanager
async def grpc_api(
    target: str, metadata: Metadata = (), credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[GrpcApi]:
    """The server at this address. metadata: sent with every call. credentials: for TLS."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # What another channel has found out about a server that was killed is not true of the one after it.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options)
    async with channel:
        yield GrpcApi(channel, metadata)


@contextmanager
def _failures_as_errors() -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        raise ApiError(status_of(failure)) from failure


def _raise(error: grpc.aio.AioRpcError) -> NoReturn:
    """The same error with its details; a plain one where it has none."""
    metadata = dict(error.trailing_metadata() or ())
    details = metadata.get(DETAILS_KEY)
    if not isinstance(details, bytes):
        raise error
    status = Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details()), "the status is told twice"
    raise ApiError(status) from error


def _unpacked(detail: Any) -> Message:
    name = detail.TypeName()
    message: Message = GetMessageClass(error_details_pb2.DESCRIPTOR.message_types_by_name[name.rpartition(".")[2]])()
    assert detail.Unpack(message), name
    return message
