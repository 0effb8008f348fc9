"""From a method and bytes to its answer's bytes. Knows no transport."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lockstitch.v1 import checkpoint_service_pb2, session_service_pb2
from lockstitch_server.config import Limits
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.handler_types import Incoming
from lockstitch_server.rpc.requests import Requests

CHECKPOINT_SERVICE = checkpoint_service_pb2.DESCRIPTOR.services_by_name["CheckpointService"]
SESSION_SERVICE = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
READ_BY_THE_BATCH = frozenset({"Save", "SaveWrites"})
"""Methods whose handlers take requests as they come."""


class Dispatcher:
    """Answers calls of services. Fails with `Failure` for whatever a caller may know.

    handlers: by service, an object with a method for each of the service's, under its name.
    """

    def __init__(self, handlers: Mapping[str, object], limits: Limits) -> None:
        self._requests = Requests(limits)
        self._services = [_service(name) for name in handlers]
        self._methods: dict[MethodDescriptor, tuple[type[Message] | None, Any]] = {
            method: (_request_type(method), getattr(handlers[service.full_name], method.name))
            for service in self._services
            for method in service.methods
        }

    @property
    def services(self) -> Iterator[ServiceDescriptor]:
        """All services that are answered for."""
        return iter(self._services)

    async def unary(self, method: MethodDescriptor, data: bytes, context: CallContext) -> bytes:
        """Answer a call that has one request and one answer."""
        kind, handle = self._methods[method]
        answer = await handle(data if kind is None else self._read(kind, data, context), context)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    async def stream(
        self, method: MethodDescriptor, incoming: Incoming, context: CallContext
    ) -> AsyncGenerator[bytes, None]:
        """Answer a call that has many answers. Where it has many requests too, the handler takes them as they come."""
        kind, handle = self._methods[method]
        if kind is None or not isinstance(incoming, bytes):
            closing = context.closing or asyncio.get_running_loop().create_future()
            answers = handle(incoming, context, closing)
        else:
            answers = handle(self._read(kind, incoming, context), context)
        try:
            async for answer in answers:
                yield answer if isinstance(answer, bytes) else answer.SerializeToString()
        finally:
            await answers.aclose()

    def _read(self, kind: type[Message], data: bytes, context: CallContext) -> Message:
        """A request that keeps to the rules. Logs and spans find it in the context, even if it does not."""
        self._requests.check_query_size(len(data))
        request = context.request = self._requests.parse(kind, data)
        self._requests.check(request)
        return request


def _request_type(method: MethodDescriptor) -> type[Message] | None:
    """The type of a method's requests; None where its handler reads them itself."""
    if method.client_streaming or method.name in READ_BY_THE_BATCH:
        return None
    return GetMessageClass(method.input_type)


def _service(name: str) -> ServiceDescriptor:
    return checkpoint_service_pb2.DESCRIPTOR.pool.FindServiceByName(name)
