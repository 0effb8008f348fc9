"""A visit: one request, by whom, and the answers to it. Pages are functions of a visit:

async def show(visit: Visit) -> Response:
    latest = await visit.client.load_latest(visit.path("session_id"))
    return visit.render("session.html", latest=latest)

routes = [page("/sessions/{session_id:id}", show)]
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lockstitch import AsyncClient
from lockstitch_ui.backend import Backend, Credentials
from lockstitch_ui.settings import ExplorerSettings
from lockstitch_ui.visitors import LoginAttempts, Visitors, new_visitor

MAX_FORM_BYTES = 4 * 1024 * 1024
MAX_FORM_FIELDS = 1000

NOTICES = {
    "fork": "This is the fork. The session that it was made from has not changed.",
    "edit": "This is the fork with the edited value. The session that it was made from has not changed.",
    "rewind": "Rewound. Checkpoints deleted: {count}.",
    "prune": "Pruned. Checkpoints deleted: {count}.",
    "label": "The labels have changed.",
    "break-lease": "The lease is broken. Its holder can save no more.",
    "delete": "Sessions deleted: {count}.",
}
"""What changes have done, by the names in the query. Only these texts are shown: anybody can make a link."""

Handler = Callable[["Visit"], Awaitable[Response]]


class LoginNeeded(Exception):
    """The visitor has to log in first."""


@dataclass(frozen=True, slots=True)
class Explorer:
    """What all requests share."""

    settings: ExplorerSettings
    backend: Backend
    visitors: Visitors
    attempts: LoginAttempts
    templates: Environment
    assets: Mapping[str, str]
    """Name of a static file -> its URL."""


@dataclass(slots=True)
class Visit:
    """One request. visitor: the id in the visitor's cookie, or a new one. credentials: of the login; None: there is
    none."""

    request: Request
    explorer: Explorer
    visitor: str
    credentials: Credentials | None
    is_new: bool
    _form: dict[str, str] | None = field(default=None, repr=False)

    @property
    def settings(self) -> ExplorerSettings:
        """The explorer's settings."""
        return self.explorer.settings

    @property
    def client(self) -> AsyncClient:
        """A client with the visitor's credentials. Raises LoginNeeded."""
        if self.credentials is not None:
            return self.explorer.backend.client(self.credentials)
        if self.settings.has_identity or (self.settings.public and not self.settings.open_to_all):
            raise LoginNeeded
        return self.explorer.backend.client(Credentials(tenant=self.settings.tenant))

    @property
    def tenant(self) -> str:
        """The tenant that the visitor has named; "": none, which is that of the key."""
        return self.credentials.tenant if self.credentials is not None else self.settings.tenant

    @property
    def allows_changes(self) -> bool:
        """Whether pages offer changes."""
        return self.settings.allow_changes

    @property
    def notice(self) -> str:
        """What the last change did, which the query names; "" for nothing."""
        count = self.query("count")
        told = NOTICES.get(self.query("done"), "")
        return told.format(count=count if count.isdecimal() and len(count) < 20 else "some")

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return self.request.client.host if self.request.client else ""

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query; of several with the same name the first one."""
        return next(iter(self.request.query_params.getlist(name)), default)

    async def form(self, limit: int = MAX_FORM_BYTES) -> dict[str, str]:
        """The fields of a form that was posted. Raises HTTPException: it is too large, or no form of ours."""
        if self._form is None:
            body = await self._body(limit)
            try:
                pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
            except ValueError:
                raise HTTPException(400, "The form cannot be read.") from None
            self._form = dict(pairs)
        if not self.explorer.visitors.is_form_token(self.visitor, self._form.get("form_token", "")):
            raise HTTPException(403, "This form is out of date. Go back, reload the page and try again.")
        return self._form

    async def check_credentials(self) -> None:
        """Raises LoginNeeded or LockstitchError: nobody has logged in, and the server wants credentials.

        The server has accepted those of a login already.
        """
        client = self.client
        if self.credentials is None:
            async with aclosing(client.list_sessions(page_size=1).pages()) as pages:
                await anext(pages)

    async def _body(self, limit: int) -> bytearray:
        """What was posted. Raises HTTPException: it is too large, or takes too long."""
        body, seconds = bytearray(), self.settings.form_seconds
        try:
            async with asyncio.timeout(seconds):
                async for chunk in self.request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise HTTPException(413, f"The form has more than {limit} bytes.")
        except TimeoutError:
            raise HTTPException(408, f"The form has not arrived within {seconds:g} seconds.") from None
        return body

    def render(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """A page. Templates have `visit` and `asset(name)`, too."""
        text = self.explorer.templates.get_template(template).render(
            visit=self,
            settings=self.settings,
            form_token=self.explorer.visitors.form_token(self.visitor),
            asset=self.explorer.assets.__getitem__,
            **values,
        )
        response = HTMLResponse(text.encode(errors="replace"), status)  # UTF-8 has no halves of surrogate pairs
        if self.is_new:
            self.set_cookie(response, self.visitor)
        return response

    def redirect(self, path: str) -> Response:
        """Send the browser to another page of the explorer."""
        return RedirectResponse(path, 303)

    def set_cookie(self, response: Response, visitor: str) -> None:
        """Have the browser keep an id."""
        response.set_cookie(
            cookie_name(self.settings), visitor, path="/", secure=self.settings.secure, httponly=True, samesite="strict"
        )


def cookie_name(settings: ExplorerSettings) -> str:
    """The name of the cookie. Browsers keep one with this prefix for this host only, and over TLS only."""
    return f"__Host-lockstitch-{settings.port}" if settings.secure else f"lockstitch-{settings.port}"


def visit_of(request: Request) -> Visit:
    """The visit of a request."""
    explorer: Explorer = request.app.state.explorer
    found = request.cookies.get(cookie_name(explorer.settings), "")
    visitor = found or new_visitor()
    return Visit(request, explorer, visitor, explorer.visitors.find(visitor), not found)


def page(path: str, handler: Handler) -> Route:
    """A page that only shows something."""
    return Route(path, _endpoint(handler), methods=["GET"])


def action(path: str, handler: Handler, limit: int = MAX_FORM_BYTES, *, for_strangers: bool = False) -> Route:
    """What a form of at most `limit` bytes is sent to. Its token is checked before `handler` runs.

    for_strangers: whether it takes forms without credentials that the server accepts. Others are refused before their
    body is read.
    """

    async def checked(visit: Visit) -> Response:
        if not for_strangers:
            await visit.check_credentials()
        await visit.form(limit)
        return await handler(visit)

    return Route(path, _endpoint(checked), methods=["POST"])


def download(data: bytes, name: str) -> Response:
    """Stored bytes, which no browser displays."""
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    return Response(data, media_type="application/octet-stream", headers=headers)


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(visit_of(request))

    return endpoint
