"""Lockstitch as an ASGI application, for an ASGI server of your own.

    h2corn --grpc --factory lockstitch_server.asgi:create_app

or mounted beside other routes, here with Starlette:

    lockstitch = create_app(Settings(store="sqlite:///lockstitch.db"))

    @asynccontextmanager
    async def lifespan(app):
        async with lockstitch:
            yield

    app = Starlette(routes=[Mount("/lockstitch", lockstitch)], lifespan=lifespan)
"""

from contextlib import AsyncExitStack
from typing import Self

from lockstitch_server.config import Settings
from lockstitch_server.rpc.transport.http.application import HttpApplication
from lockstitch_server.rpc.transport.http.asgi_types import Receive, Scope, Send
from lockstitch_server.rpc.transport.http.pages import respond
from lockstitch_server.runtime.embedding import EXPOSED, Exposure, check_embedding
from lockstitch_server.runtime.server import open_runtime

__all__ = ["LockstitchApp", "Settings", "create_app"]


def create_app(settings: Settings | None = None) -> "LockstitchApp":
    """A server as an ASGI application.

    settings: by default those of `lockstitch.toml` and of LOCKSTITCH_* variables, as `lockstitch config` shows them.
    The ASGI server decides about addresses, TLS, connections and workers. Settings of `tls` are refused at startup.
    Requests at an address that other machines can reach are refused unless they come over TLS and callers
    authenticate, or `insecure` is set.

    The store is open from the startup of ASGI's lifespan, or of `async with app`, to the end of it. Example:

        app = create_app(Settings(store="memory://"))
    """
    if settings is None:
        from lockstitch_server.cli.settings import load

        settings = load().settings
    return LockstitchApp(settings)


class LockstitchApp:
    """The application. Start it by ASGI's lifespan, or by `async with`. Raises StartupError then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._exposure = Exposure(settings)
        self._application: HttpApplication | None = None

    async def __aenter__(self) -> Self:
        """Open the store, and begin to work."""
        check_embedding(self._settings)
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_runtime(self._settings, embedded=True))
            self._application = runtime.http_application(watches_clients=True)
            stack.push_async_callback(runtime.drain)
            await stack.enter_async_context(runtime.at_work())
            stack.callback(runtime.health.leave)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Refuse new calls, let the others end, and close the store."""
        await self._stack.aclose()
        self._application = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a startup or shutdown of ASGI's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._application is None:
            raise RuntimeError("the application has not been started: run ASGI's lifespan, or `async with app`")
        elif scope["type"] == "http" and not self._exposure.allows(scope):
            await respond(send, 403, EXPOSED, [])
        else:
            await self._application(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.__aexit__()
        await send({"type": "lifespan.shutdown.complete"})
