"""The client of a request, and whether it has left."""

import asyncio

from lockstitch_server.rpc.transport.http.asgi_types import Receive


class Client:
    """Who waits for the response. When the client leaves, the task of its call is cancelled.

    task: of the call. watches: whether to wait after the body until the client leaves; some servers cancel the call.
    """

    __slots__ = ("_task", "_watches", "_watching", "has_left")

    def __init__(self, task: "asyncio.Task[object]", *, watches: bool) -> None:
        self._task = task
        self._watches = watches
        self._watching: asyncio.Task[None] | None = None
        self.has_left = False

    def leave(self) -> None:
        """The client is gone."""
        self.has_left = True
        self._task.cancel()

    def watch(self, receive: Receive) -> None:
        """The body has ended: what is received now says only that the client has left."""
        if self._watches:
            self._watching = asyncio.create_task(self._watch(receive))

    def close(self) -> None:
        """The call has ended."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.leave()
