"""The clients of an adapter: one that blocks, for all threads, and one for each event loop it is used in."""

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

from lockstitch._api import Api
from lockstitch._client import AsyncClient, Client


class Connections:
    """Opens clients as they are needed. Copies of an adapter share them, and threads may.

    options: what a Client and an AsyncClient are made with, beside the target.
    """

    def __init__(self, target: str, options: dict[str, Any]) -> None:
        self._target = target
        self._options = options
        self._lock = threading.Lock()
        self._blocking: Client | None = None
        self._asynchronous: dict[asyncio.AbstractEventLoop, AsyncClient] = {}

    def blocking(self) -> Api:
        """Calls that never suspend."""
        with self._lock:
            if self._blocking is None:
                self._blocking = Client(self._target, **self._options)
            return self._blocking._api

    def asynchronous(self) -> Api:
        """Calls on the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._asynchronous.get(loop)
            if client is None:
                for other in [known for known in self._asynchronous if known.is_closed()]:
                    del self._asynchronous[other]
                client = self._asynchronous[loop] = AsyncClient(self._target, **self._options)
            return client

    def close(self) -> None:
        """Close the client that blocks. It opens again when it is needed."""
        with self._lock:
            client, self._blocking = self._blocking, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the client of the running event loop, and the one that blocks."""
        with self._lock:
            client = self._asynchronous.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        self.close()


class Borrowed:
    """A client that belongs to the caller, who closes it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def asynchronous(self) -> Api:
        """Calls on the client's event loop."""
        return self._client

    async def aclose(self) -> None:
        """Does nothing."""


def connections(server: str | AsyncClient, options: dict[str, Any]) -> Connections | Borrowed:
    """The clients of an adapter, made with options, or the one that the caller has. Raises TypeError."""
    if isinstance(server, str):
        return Connections(server, options)
    if not isinstance(server, AsyncClient):
        raise TypeError(f"the server is an address or a lockstitch.AsyncClient, not a {type(server).__name__}")
    if options:
        raise TypeError(f"{', '.join(options)}: options of a client; the client that was given has its own")
    return Borrowed(server)


class Closing:
    """An adapter that `close` or the end of `async with` closes."""

    _connections: Connections | Borrowed

    async def close(self) -> None:
        """Close the connection of the running event loop, unless the client was given. It opens again when needed."""
        await self._connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
