"""Lets calls in while the server runs, and tells long ones when to end."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.rpc.admission_gate import AdmissionGate
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.handler_types import Incoming, StreamHandler, UnaryHandler

ENDLESS = frozenset({"SaveStream", "WatchSession"})
"""Methods whose calls have no end of their own."""


class Admission:
    """The gate of all calls.

    long_seconds: how long a call without an end of its own may last; 0 for as long as it likes.
    """

    def __init__(self, gate: AdmissionGate, long_seconds: float = 0) -> None:
        self._gate = gate
        self._long_seconds = long_seconds

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        gate = self._gate

        async def call(data: bytes, context: CallContext) -> bytes:
            gate.enter()
            try:
                return await handle(data, context)
            finally:
                gate.leave()

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        return self._endless(handle) if method.name in ENDLESS else self._ending(handle)

    def _ending(self, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            with self._gate.call():
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer

        return call

    def _endless(self, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            with self._gate.long_call(self._long_seconds) as context.closing:
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer

        return call
