"""From a method's name and bytes to its answer's bytes: parse, check, handle. Knows no transport."""

from collections.abc import AsyncIterator
from dataclasses import replace

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from lockstitch.v1 import checkpoint_service_pb2
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.checker import Checker
from lockstitch_server.rpc.checkpoints import Handlers
from lockstitch_server.rpc.context import CallContext

SERVICE = checkpoint_service_pb2.DESCRIPTOR.services_by_name["CheckpointService"]


class Dispatcher:
    """Answers calls of the service. Fails with `Failure` for whatever a caller may know."""

    def __init__(self, handlers: Handlers, limits: Limits) -> None:
        self._handlers = handlers
        self._max_bytes = limits.max_message_bytes
        self._checker = Checker(limits)

    async def unary(self, method: MethodDescriptor, data: bytes, context: CallContext) -> bytes:
        """Answer a call that has one answer."""
        request = self._request(method, data)
        answer = await getattr(self._handlers, method.name)(request, replace(context, size=len(data)))
        return _serialized(answer)

    async def stream(self, method: MethodDescriptor, data: bytes, context: CallContext) -> AsyncIterator[bytes]:
        """Answer a call that has many."""
        request = self._request(method, data)
        async for answer in getattr(self._handlers, method.name)(request, replace(context, size=len(data))):
            yield _serialized(answer)

    def _request(self, method: MethodDescriptor, data: bytes) -> Message:
        if len(data) > self._max_bytes:
            raise Failure(
                Reason.TOO_LARGE,
                f"request: has {len(data)} bytes; the limit is {self._max_bytes} bytes (max_message_bytes)",
                field="request",
                limit=self._max_bytes,
                size=len(data),
            )
        try:
            request = GetMessageClass(method.input_type).FromString(data)
        except DecodeError as error:
            name = method.input_type.name
            raise Failure(Reason.INVALID_FIELD, f"request: is no {name} message", field="request") from error
        self._checker.check(request)
        return request


def _serialized(answer: bytes | Message) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()
