"""What goes on in all of the sessions. The work of a request is bounded: the page says how far it has looked."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from starlette.responses import Response

from lockstitch import (
    AsyncClient,
    Lease,
    ListedCheckpoint,
    LockstitchError,
    PermissionDenied,
    Pruned,
    SessionSummary,
    Unauthenticated,
    View,
)
from lockstitch_ui import text
from lockstitch_ui.latest import load_latest
from lockstitch_ui.views import overview as views
from lockstitch_ui.views.sessions import Row, row
from lockstitch_ui.visit import Visit, page

Item = TypeVar("Item")

SUMMARIES = 1000
"""Sessions whose sizes and leases are looked at: those that changed last."""
DERIVED = 200
"""Sessions whose status is derived, twice: of those that changed last, and of those that have not for an hour."""
CHECKPOINTS = 200
LEASES = 20
PART_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Part(Generic[Item]):
    """A part of the page. problem: why it cannot be shown; "": it can."""

    value: Item | None
    problem: str = ""


async def show(visit: Visit) -> Response:
    """The page."""
    client, now = visit.client, time.time()
    summaries = await _summaries(client, SUMMARIES)
    recent, waiting, newest, leases, pruned = await asyncio.gather(
        _part(_rows(client, summaries[:DERIVED], now)),
        _part(_unchanged(client, now)),
        _part(_newest(client)),
        _part(_leases(client, summaries)),
        _part(_pruned(client, summaries[:DERIVED])),
    )
    return visit.render(
        "overview.html",
        seen=len(summaries),
        all_seen=len(summaries) < SUMMARIES,
        derived=min(len(summaries), DERIVED),
        rate=Part(views.rate(newest.value, CHECKPOINTS, now)) if newest.value is not None else newest,
        share=views.share(summaries, newest.value or ()),
        failed=Part(views.of_kind(recent.value, "failed")) if recent.value is not None else recent,
        running=sum(bool(summary.lease_holder) for summary in summaries),
        waiting=waiting,
        leases=leases,
        largest=views.largest(summaries),
        pruned=pruned,
        stored=sum(summary.stored_bytes for summary in summaries),
        checkpoints=sum(summary.checkpoint_count for summary in summaries),
        now=now,
        seconds=text.seconds,
    )


async def _part(work: Awaitable[Item]) -> Part[Item]:
    """The result of a part; where it fails, the others are shown without it."""
    try:
        return Part(await asyncio.wait_for(work, PART_SECONDS))
    except Unauthenticated:
        raise
    except PermissionDenied as error:
        return Part(None, f"The key may not see this: {error.message}")
    except TimeoutError:
        return Part(None, "Not known: the server did not answer in time.")
    except LockstitchError as error:
        return Part(None, f"Not known: {error.message}")


async def _summaries(client: AsyncClient, limit: int, before: datetime | None = None) -> Sequence[SessionSummary]:
    """The sessions that changed last."""
    pager = client.list_sessions(updated_before=before, page_size=limit)
    async with aclosing(pager.pages()) as pages:
        return (await anext(pages)).items


async def _rows(client: AsyncClient, summaries: Sequence[SessionSummary], now: float) -> Sequence[Row]:
    latest = await load_latest(client, summaries)
    return [row(summary, latest[summary.session_id], now) for summary in summaries]


async def _unchanged(client: AsyncClient, now: float) -> Sequence[Row]:
    """Sessions that have waited for a person for more than an hour."""
    before = datetime.fromtimestamp(now, UTC) - timedelta(seconds=views.WAITING_SECONDS)
    summaries = await _summaries(client, DERIVED, before)
    return views.of_kind(await _rows(client, summaries, now), "waiting")


async def _newest(client: AsyncClient) -> Sequence[ListedCheckpoint]:
    """The newest checkpoints of all sessions, without their states."""
    pager = client.list_checkpoints(view=View.HEADER, include_channel_sizes=True, page_size=CHECKPOINTS)
    async with aclosing(pager.pages()) as pages:
        return (await anext(pages)).items


async def _leases(client: AsyncClient, summaries: Sequence[SessionSummary]) -> Sequence[Lease]:
    """Leases, the oldest first."""
    held = views.leased(summaries, LEASES)
    details = await asyncio.gather(*(_lease(client, summary.session_id) for summary in held))
    found = [lease for lease in details if lease is not None]
    return sorted(found, key=lambda lease: text.seconds(lease.acquired_at))


async def _lease(client: AsyncClient, session_id: str) -> Lease | None:
    try:
        return (await client.get_session(session_id)).lease
    except LockstitchError:
        return None  # it is gone by now


async def _pruned(client: AsyncClient, summaries: Sequence[SessionSummary]) -> Pruned:
    """What retention would delete of these sessions."""
    if not summaries:
        return Pruned(0, 0, 0)
    return await client.prune_sessions([summary.session_id for summary in summaries], dry_run=True)


routes = [page("/overview", show)]
