"""Browsers' connections, with a bound on how long and how many: uvicorn waits for the head of a request for ever."""

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from lockstitch_ui.settings import ExplorerSettings
from lockstitch_ui.visitors import network

REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n"
    b"retry-after: 10\r\nconnection: close\r\n\r\nToo many connections from your address.\n"
)


@dataclass(slots=True)
class OpenConnections:
    """What the connections of one explorer share. waiting: those without a request, the longest first."""

    by_network: Counter[str] = field(default_factory=Counter)
    waiting: "OrderedDict[Connection, None]" = field(default_factory=OrderedDict)


class Connection(H11Protocol):
    """Ends when no whole head of a request comes in time, or when others need its place before that."""

    def __init__(self, *given: Any, settings: ExplorerSettings, shared: OpenConnections, **named: Any) -> None:
        super().__init__(*given, **named)
        self._settings = settings
        self._shared = shared
        self._network = ""
        self._has_answered = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and wait for the first request."""
        super().connection_made(transport)
        self._network = network(self.client[0] if self.client else "")
        self._shared.by_network[self._network] += 1
        if self._shared.by_network[self._network] > self._settings.max_connections_per_address:
            transport.write(REFUSED)
            transport.close()
            return
        if len(self.connections) >= self._settings.max_connections and self._shared.waiting:
            longest = next(iter(self._shared.waiting))
            longest._end()
            self.connections.discard(longest)  # uvicorn counts it until the event loop has closed it
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting it."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._shared.by_network[self._network] -= 1
        if not self._shared.by_network[self._network]:
            del self._shared.by_network[self._network]

    def data_received(self, data: bytes) -> None:
        """Nothing is read from a connection that is about to close."""
        if not self.transport.is_closing():
            super().data_received(data)

    def handle_events(self) -> None:
        """A request has begun, or not yet."""
        super().handle_events()
        begun = self.cycle is not None  # it is None until the first request
        if begun and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._has_answered = True
        self._wait_for_head()
        super().on_response_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._shared.waiting[self] = None
        self._head_timer = self.loop.call_later(self._settings.head_seconds, self._end)

    def _stop_waiting(self) -> None:
        self._shared.waiting.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self) -> None:
        self._stop_waiting()
        if self._has_answered:
            self.transport.close()  # after what is left of the answer
        else:
            self.transport.abort()  # over TLS, `close` would wait for the other side


def protocol(settings: ExplorerSettings) -> Any:
    """What uvicorn makes connections of: `uvicorn.Config(http=...)`."""
    return partial(Connection, settings=settings, shared=OpenConnections())
