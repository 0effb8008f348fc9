"""The explorer as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route

from lockstitch import LockstitchError
from lockstitch_ui import assets, failures, rendering
from lockstitch_ui.backend import Backend
from lockstitch_ui.pages import changes, diff, login, overview, plots, session, sessions, values
from lockstitch_ui.security import Protection
from lockstitch_ui.settings import ExplorerSettings
from lockstitch_ui.visit import Explorer, LoginNeeded
from lockstitch_ui.visitors import LoginAttempts, Visitors


def create_app(settings: ExplorerSettings) -> Starlette:
    """The explorer. Any ASGI server runs it: `uvicorn.run(create_app(settings), port=8233)`."""
    files = assets.load()
    explorer = Explorer(
        settings=settings,
        backend=Backend(settings),
        visitors=Visitors(settings),
        attempts=LoginAttempts(settings),
        templates=rendering.environment(),
        assets=files.urls,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await explorer.backend.close()

    app = Starlette(
        routes=[Route("/static/{name}", files.serve), *_pages(settings)],
        middleware=[Middleware(Protection, settings=settings)],
        exception_handlers={
            LockstitchError: failures.on_server_error,
            LoginNeeded: failures.on_login_needed,
            HTTPException: failures.on_http_error,
            ClientDisconnect: failures.on_disconnect,
            ValueError: failures.on_bad_request,
            Exception: failures.on_crash,
        },
        lifespan=lifespan,
    )
    app.state.explorer = explorer
    return app


def _pages(settings: ExplorerSettings) -> list[BaseRoute]:
    shown = [
        *login.routes,
        *overview.routes,
        *sessions.routes,
        *session.routes,
        *diff.routes,
        *values.routes,
        *plots.routes,
    ]
    return [*shown, *changes.routes] if settings.allow_changes else shown
