"""What answers calls, without a transport: plain async functions of (bytes, context)."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.stream_batches import StreamMessage

UnaryHandler: TypeAlias = Callable[[bytes, CallContext], Awaitable[bytes]]
Incoming: TypeAlias = bytes | AsyncIterator[StreamMessage]
"""One request; or all those of a method that takes many."""
StreamHandler: TypeAlias = Callable[[Incoming, CallContext], AsyncGenerator[bytes, None]]
