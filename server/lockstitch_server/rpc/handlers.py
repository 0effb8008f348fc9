"""What answers calls, without a transport: plain async functions of (bytes, context)."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from lockstitch_server.rpc.context import CallContext

UnaryHandler: TypeAlias = Callable[[bytes, CallContext], Awaitable[bytes]]
Incoming: TypeAlias = bytes | AsyncIterator[bytes]
"""One request; or all those of a method that takes many."""
StreamHandler: TypeAlias = Callable[[Incoming, CallContext], AsyncGenerator[bytes, None]]
