"""The list of sessions."""

from starlette.responses import Response

from lockstitch_ui.visit import Visit, page


async def home(visit: Visit) -> Response:
    """The first page."""
    return visit.redirect("/sessions")


async def show(visit: Visit) -> Response:
    """A page of the list."""
    pages = visit.client.list_sessions(page_size=50, page_token=visit.query("page")).pages()
    found = await anext(pages)
    await pages.aclose()
    return visit.render("sessions.html", sessions=found.items, next_page_token=found.next_page_token)


routes = [page("/", home), page("/sessions", show)]
