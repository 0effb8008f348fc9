"""What a page says where it cannot be shown."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lockstitch import (
    DataLoss,
    DeadlineExceeded,
    InvalidArgument,
    LockstitchError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from lockstitch_ui.security import common_headers
from lockstitch_ui.urls import with_query
from lockstitch_ui.visit import visit_of

STATUS: dict[type[LockstitchError], tuple[int, str]] = {
    NotFound: (404, "Not found"),
    PermissionDenied: (403, "Not allowed"),
    InvalidArgument: (400, "The server does not accept this"),
    DataLoss: (500, "Stored data is damaged"),
    ResourceExhausted: (503, "The server has too much to do"),
    DeadlineExceeded: (504, "The server did not answer in time"),
    Unavailable: (503, "The server cannot be reached"),
}


async def on_server_error(request: Request, error: Exception) -> Response:
    """A call to the server has failed."""
    if isinstance(error, Unauthenticated):
        return await on_login_needed(request, error)
    assert isinstance(error, LockstitchError)
    status, title = next((found for kind, found in STATUS.items() if isinstance(error, kind)), (409, "Not done"))
    visit = visit_of(request)
    return visit.render("failure.html", status, title=title, message=error.message, reason=error.reason)


async def on_login_needed(request: Request, error: Exception) -> Response:
    """Ask for a key. The page comes after it."""
    visit = visit_of(request)
    if request.method != "GET":
        return visit.redirect("/login")
    # A link on another site has been followed. Browsers leave the cookie out then, and send it with a reload.
    if request.headers.get("sec-fetch-site") == "cross-site":
        return visit.render("reload.html")
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return visit.redirect(with_query("/login", {"next": back if back != "/" else ""}))


async def on_http_error(request: Request, error: Exception) -> Response:
    """There is no such page, or the form is not right."""
    assert isinstance(error, HTTPException)
    missing = "There is no page at this address." if error.status_code == 404 else str(error.detail)
    title = "Not found" if error.status_code == 404 else "Not done"
    return visit_of(request).render("failure.html", error.status_code, title=title, message=missing, reason="")


async def on_bad_request(request: Request, error: Exception) -> Response:
    """Something in the address is not as it should be."""
    return visit_of(request).render("failure.html", 400, title="Bad address", message=str(error), reason="")


async def on_disconnect(request: Request, error: Exception) -> Response:
    """The visitor has gone before the form was whole. Nobody receives this."""
    return Response(status_code=400)


async def on_crash(request: Request, error: Exception) -> Response:
    """Something that no page expects. The log has it; this is outside of what adds the headers of other answers."""
    message = "The explorer has failed. Its log says why."
    visit = visit_of(request)
    response = visit.render("failure.html", 500, title="Failed", message=message, reason="")
    response.headers.update(common_headers(visit.settings.secure))
    return response
