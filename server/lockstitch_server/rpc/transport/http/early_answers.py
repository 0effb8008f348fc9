"""Answers over HTTP/1.1 to requests whose bodies have not come yet.

The connection is closed after such an answer. Servers otherwise wait for the rest of the body, some without an end.
"""

from lockstitch_server.rpc.transport.http.asgi_types import Event, Headers, Receive, Send
from lockstitch_server.rpc.transport.http.headers import first

CLOSE = (b"connection", b"close")


def closing_early(headers: Headers, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """`receive` and `send` of a request over HTTP/1.1: an answer before the end of its body closes the connection."""
    size = first(headers, b"content-length")
    missing = int(size) if size.isdecimal() else None
    ended = missing == 0 or (missing is None and not first(headers, b"transfer-encoding"))

    async def receiving() -> Event:
        nonlocal ended, missing
        event = await receive()
        if missing is not None:
            missing -= len(event.get("body", b""))
        ended = ended or missing == 0 or not event.get("more_body", False)
        return event

    async def sending(event: Event) -> None:
        if event["type"] == "http.response.start" and not ended:
            event = {**event, "headers": [*event["headers"], CLOSE]}
        await send(event)

    return receiving, sending
