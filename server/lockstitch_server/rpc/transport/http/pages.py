"""What is served beside calls: health for orchestrators, and metrics."""

import asyncio
from collections.abc import Callable

from lockstitch_server.rpc.transport.http.asgi_types import Headers, Send

TEXT = "text/plain; charset=utf-8"
Metrics = Callable[[], tuple[str, bytes]]
"""The metrics in Prometheus's format: the media type, and the text. Called in a thread."""


class Pages:
    """Answers GET. is_ready: whether the server can do its work. metrics: None: they are not served."""

    def __init__(self, is_ready: Callable[[], bool], metrics: Metrics | None) -> None:
        self._is_ready = is_ready
        self._metrics = metrics

    async def answer(self, path: str, send: Send, more: Headers) -> bool:
        """Answer for a path; False: it is no page."""
        if path == "/healthz":
            await respond(send, 200, "ok\n", more)
        elif path == "/readyz":
            ready = self._is_ready()
            await respond(send, 200 if ready else 503, "ready\n" if ready else "not ready\n", more)
        elif path == "/metrics" and self._metrics is not None:
            media, body = await asyncio.to_thread(self._metrics)
            await respond(send, 200, body, more, media)
        else:
            return False
        return True


async def respond(send: Send, status: int, body: str | bytes, more: Headers, media: str = TEXT) -> None:
    """Send a whole response."""
    data = body.encode() if isinstance(body, str) else body
    headers = [
        (b"content-type", media.encode()),
        (b"content-length", str(len(data)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data, "more_body": False})
