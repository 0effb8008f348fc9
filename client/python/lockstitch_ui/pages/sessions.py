"""The list of sessions."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from lockstitch import AsyncClient, Page, SessionOrder, SessionSummary
from lockstitch.inspect import StatusKind
from lockstitch_ui.latest import load_latest, with_details
from lockstitch_ui.views import filters as filters_of
from lockstitch_ui.views.filters import PAGE_SIZE, FilterInvalid, Filters, read_filters
from lockstitch_ui.views.sessions import Row, matching, row
from lockstitch_ui.visit import Visit, page

MOST_SCANNED = 500
"""Sessions that a page looks through for those with a status, which the server cannot filter by."""
SCAN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A page of sessions. scanned: how many were looked through. next_page_token: "" at the end."""

    rows: Sequence[Row]
    next_page_token: str
    scanned: int


async def home(visit: Visit) -> Response:
    """The first page."""
    return visit.redirect("/sessions")


async def show(visit: Visit) -> Response:
    """A page of the list."""
    try:
        wanted = read_filters(visit.request.query_params)
        found = await find(visit.client, wanted, datetime.now(UTC))
    except FilterInvalid as error:
        return _rendered(visit, 400, Filters(), Found((), "", 0), str(error))
    return _rendered(visit, 200, wanted, found, "")


async def find(client: AsyncClient, wanted: Filters, now: datetime) -> Found:
    """The sessions of a page. Raises FilterInvalid."""
    since, before = filters_of.moment_of(wanted.since, now), filters_of.moment_of(wanted.before, now)
    pager = client.list_sessions(
        session_id_prefix=wanted.prefix,
        labels=wanted.labels,
        updated_since=since,
        updated_before=before,
        order_by=SessionOrder.SESSION_ID if wanted.order == "id" else SessionOrder.UPDATED_AT,
        page_size=PAGE_SIZE,
        page_token=wanted.page_token,
    )
    rows: list[Row] = []
    scanned, token, deadline = 0, "", time.monotonic() + SCAN_SECONDS
    async with aclosing(pager.pages()) as pages:
        async for found in pages:
            rows += await rows_of(client, found, wanted.kind, now.timestamp())
            scanned, token = scanned + len(found.items), found.next_page_token
            enough = wanted.kind is None or len(rows) >= PAGE_SIZE // 2
            if enough or scanned >= MOST_SCANNED or time.monotonic() > deadline:
                break
    return Found(rows, token, scanned)


async def rows_of(client: AsyncClient, found: Page[SessionSummary], kind: StatusKind | None, now: float) -> list[Row]:
    """The rows of a page of summaries that have a status; None: all."""
    latest = await load_latest(client, found.items)
    keep = {
        each.session_id for each in matching([row(each, latest[each.session_id], now) for each in found.items], kind)
    }
    shown = [summary for summary in found.items if summary.session_id in keep]
    detailed = await with_details(client, shown, latest)
    return [row(summary, detailed[summary.session_id], now) for summary in shown]


def _rendered(visit: Visit, status: int, wanted: Filters, found: Found, problem: str) -> Response:
    return visit.render(
        "sessions.html",
        status,
        filters=wanted,
        found=found,
        problem=problem,
        kinds=[kind.value for kind in StatusKind],
        since=filters_of.SINCE,
        orders=filters_of.ORDERS,
        page_size=PAGE_SIZE,
    )


routes = [page("/", home), page("/sessions", show)]
