"""Logging in with a key of the server's, and out."""

from starlette.responses import RedirectResponse, Response

from lockstitch import LockstitchError, PermissionDenied, Unauthenticated
from lockstitch_ui.backend import Credentials
from lockstitch_ui.visit import Visit, action, cookie_name, page

MAX_LOGIN_BYTES = 64 * 1024


async def form(visit: Visit) -> Response:
    """Ask for a key."""
    return visit.render("login.html", problem="", next=_local(visit.query("next")), tenant=visit.settings.tenant)


async def log_in(visit: Visit) -> Response:
    """Check a key with the server, and keep it for this visitor."""
    fields = await visit.form(MAX_LOGIN_BYTES)
    back, tenant = _local(fields.get("next", "")), fields.get("tenant", "").strip()
    wait = visit.explorer.attempts.begin(visit.address)
    if wait:
        problem = f"Too many attempts. Try again in {wait:.0f} seconds."
        response = visit.render("login.html", 429, problem=problem, next=back, tenant=tenant)
        response.headers["retry-after"] = f"{wait:.0f}"
        return response
    credentials = Credentials(fields.get("key", "").strip(), tenant)
    problem = await _problem(visit, credentials)
    if problem:
        return visit.render("login.html", 401, problem=problem, next=back, tenant=tenant)
    visit.explorer.attempts.succeeded(visit.address)
    return _logged_in(visit, credentials, back)


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


async def _problem(visit: Visit, credentials: Credentials) -> str:
    """Why a key does not let the visitor in; "" where it does."""
    if not credentials.key:
        return "Type a key of the server."
    try:
        await visit.explorer.backend.client(credentials).list_sessions(page_size=1).pages().__anext__()
    except (Unauthenticated, PermissionDenied) as error:
        return f"The server refuses this key: {error.message}"
    except LockstitchError as error:
        return f"The server does not answer: {error.message}"
    except ValueError as error:
        return str(error)
    return ""


def _local(path: str) -> str:
    """A path of the explorer's own."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


routes = [page("/login", form), action("/login", log_in), action("/logout", log_out)]
