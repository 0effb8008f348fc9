"""Sends responses in slices.

An ASGI server keeps all that it is given until its client has taken it. A slice is handed over only when there is room
for it, so a response waits here, where it counts as memory of its call, and a client that stops to read is noticed.
"""

from collections.abc import Awaitable, Callable, Iterator

from lockstitch_server.rpc.transport.http.asgi_types import Event, Send
from lockstitch_server.rpc.transport.prompt import until

SLICE_BYTES = 64 * 1024


class ClientStalled(ConnectionError):
    """The client reads nothing of its response."""


def in_slices(send: Send, stall_seconds: float, now: Callable[[], float]) -> Send:
    """`send`, which passes bodies on in slices. It raises ClientStalled if one is not taken within `stall_seconds`.

    now: the event loop's clock.
    """

    def stalled() -> ClientStalled:
        return ClientStalled(f"the client read nothing for {stall_seconds:g} s")

    async def slices(event: Event) -> None:
        for piece in cut(event, SLICE_BYTES):
            await until(now() + stall_seconds, send(piece), stalled)

    def sending(event: Event) -> Awaitable[None]:
        if len(event.get("body", b"")) > SLICE_BYTES:
            return slices(event)
        return until(now() + stall_seconds, send(event), stalled)

    return sending


def cut(event: Event, size: int) -> Iterator[Event]:
    """A part of a body in pieces of at most `size` bytes."""
    body, more_follows = event["body"], event.get("more_body", False)
    last = len(body) - 1
    for start in range(0, len(body), size):
        end = start + size
        yield {**event, "body": body[start:end], "more_body": more_follows or end <= last}
