"""Answers over HTTP/1.1 to requests whose bodies have not come yet.

Such an answer says that the connection ends. Many clients read the answer only when they have sent their body, so the
body is read for a while, and then the connection is closed. Servers otherwise read it for as long as it trickles.
"""

import asyncio

from lockstitch_server.rpc.transport.http.asgi_types import Event, Receive, Send
from lockstitch_server.rpc.transport.http.headers import Named, first

CLOSE = (b"connection", b"close")


class BodyUnended(Exception):
    """A request was answered, and its body does not end. ASGI servers close the connection of a call that fails."""


class Http1Request:
    """`receive` and `send` of a request over HTTP/1.1. An answer before the end of its body closes the connection."""

    def __init__(self, headers: Named, receive: Receive, send: Send) -> None:
        size = first(headers, b"content-length")
        self._missing = int(size) if size.isdecimal() else None
        self._ended = self._missing == 0 or (self._missing is None and not first(headers, b"transfer-encoding"))
        self._receive = receive
        self._send = send

    async def receive(self) -> Event:
        event = await self._receive()
        if self._missing is not None:
            self._missing -= len(event.get("body", b""))
        self._ended = self._ended or self._missing == 0 or not event.get("more_body", False)
        return event

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start" and not self._ended:
            event = {**event, "headers": [*event["headers"], CLOSE]}
        await self._send(event)

    async def end_body(self, seconds: float) -> None:
        """Read what the answer did not wait for, and drop it. Raises BodyUnended after a time."""
        if self._ended:
            return
        try:
            async with asyncio.timeout(seconds):
                while not self._ended:
                    await self.receive()
        except TimeoutError:
            what = f"the answer was sent, and the request did not end within {seconds:g} s (http.body_seconds)"
            raise BodyUnended(what) from None
        except asyncio.CancelledError:
            return  # the server stops, or the client has left: the answer was sent
