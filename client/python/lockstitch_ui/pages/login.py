"""Logging in with a key of the server's, and out."""

import hmac
from contextlib import aclosing

from starlette.responses import RedirectResponse, Response

from lockstitch import LockstitchError, PermissionDenied, Unauthenticated
from lockstitch_ui.backend import Backend, Credentials
from lockstitch_ui.visit import Visit, action, cookie_name, page

MAX_LOGIN_BYTES = 16 * 1024
MAX_LOGOUT_BYTES = 4 * 1024
NO_KEY_NEEDED = (
    "The server needs no key, so a key does not say who you are. Start the explorer with --insecure to show this "
    "server to everybody who can reach the explorer."
)


class NotLoggedIn(Exception):
    """The key does not let the visitor in. The message says why."""


async def form(visit: Visit) -> Response:
    """Ask for a key."""
    return visit.render("login.html", problem="", next=_local(visit.query("next")), tenant=visit.settings.tenant)


async def log_in(visit: Visit) -> Response:
    """Check a key with the server, and keep it for this visitor."""
    fields = await visit.form()
    back, tenant = _local(fields.get("next", "")), fields.get("tenant", "").strip()
    wait = visit.explorer.attempts.begin(visit.address)
    if wait:
        problem = f"Too many attempts. Try again in {wait:.0f} seconds."
        response = visit.render("login.html", 429, problem=problem, next=back, tenant=tenant)
        response.headers["retry-after"] = f"{wait:.0f}"
        return response
    try:
        credentials = await checked(visit.explorer.backend, fields.get("key", "").strip(), tenant)
    except NotLoggedIn as error:
        return visit.render("login.html", 401, problem=str(error), next=back, tenant=tenant)
    visit.explorer.attempts.succeeded(visit.address)
    return _logged_in(visit, credentials, back)


async def open_link(visit: Visit) -> Response:
    """Log in with the explorer's own credentials, by the link that only whoever started it knows."""
    settings = visit.settings
    if not settings.ticket or not hmac.compare_digest(visit.path("ticket").encode(), settings.ticket.encode()):
        return visit.render("login.html", 403, problem="This link is not valid any more.", next="/", tenant="")
    credentials = Credentials(settings.key, settings.tenant, certificate=settings.has_certificate)
    return _logged_in(visit, credentials, "/")


async def log_out(visit: Visit) -> Response:
    """Forget the visitor's key."""
    visit.explorer.visitors.logout(visit.visitor)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(cookie_name(visit.settings), path="/", secure=visit.settings.secure, httponly=True)
    return response


def _logged_in(visit: Visit, credentials: Credentials, back: str) -> Response:
    visit.explorer.visitors.logout(visit.visitor)
    response = RedirectResponse(back, 303)
    visit.set_cookie(response, visit.explorer.visitors.login(credentials))
    return response


async def checked(backend: Backend, key: str, tenant: str) -> Credentials:
    """The credentials of a key that the server accepts. Raises NotLoggedIn.

    A key must be what lets the visitor in: where the server lets everybody in who has the explorer's certificate or
    reaches it at all, a public explorer would open it to strangers.
    """
    if not key:
        raise NotLoggedIn("Type a key of the server.")
    settings = backend.settings
    keyless = Credentials(certificate=settings.has_certificate)
    if (settings.public and not settings.open_to_all) or settings.has_certificate:
        found = await _refusal(backend, keyless)
        if found is None:
            raise NotLoggedIn(NO_KEY_NEEDED)
        if not isinstance(found, Unauthenticated):
            raise NotLoggedIn(f"The server does not answer: {found}")
    credentials = Credentials(key, tenant, keyless.certificate)
    found = await _refusal(backend, credentials)
    if isinstance(found, Unauthenticated | PermissionDenied):
        raise NotLoggedIn(f"The server refuses this key: {found.message}")
    if found is not None:
        raise NotLoggedIn(f"The server does not answer: {found}")
    return credentials


async def _refusal(backend: Backend, credentials: Credentials) -> LockstitchError | None:
    """Why a caller cannot list sessions; None: it can. Raises NotLoggedIn for a key that cannot be sent."""
    try:
        client = backend.connect(credentials)
    except ValueError as error:
        raise NotLoggedIn(f"This is no key: {error}") from None
    try:
        async with client, aclosing(client.list_sessions(page_size=1).pages()) as pages:
            await anext(pages)
    except LockstitchError as error:
        return error
    return None


def _local(path: str) -> str:
    """A path of the explorer's own."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


routes = [
    page("/login", form),
    action("/login", log_in, MAX_LOGIN_BYTES, for_strangers=True),
    page("/open/{ticket}", open_link),
    action("/logout", log_out, MAX_LOGOUT_BYTES, for_strangers=True),
]
