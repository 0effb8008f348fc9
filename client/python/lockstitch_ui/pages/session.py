"""A session: its banner, its timeline, and one of its checkpoints."""

import asyncio
import time
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from lockstitch import DataLoss, ListedCheckpoint, SessionDetails
from lockstitch.inspect import STATUS_CHANNELS, Progress, progress, ran_needs_parent, status
from lockstitch_ui.pages import checkpoints, detail
from lockstitch_ui.pages.checkpoints import ROWS, Window
from lockstitch_ui.urls import checkpoint_url, session_url
from lockstitch_ui.views.banner import Piece, banner
from lockstitch_ui.views.graph import Key
from lockstitch_ui.views.sessions import FORKED_FROM, HIDDEN_LABELS
from lockstitch_ui.views.timeline import Timeline, key_of, timeline
from lockstitch_ui.visit import Visit, page

FRAGMENT_HEADER = "x-fragment"
"""Asks for the part of the page that shows the checkpoint; the script does, to leave the timeline as it is."""


@dataclass(frozen=True, slots=True)
class Story:
    """A session in a sentence. kind: a `StatusKind`, or "damaged"."""

    kind: str
    pieces: list[Piece]


async def show_latest(visit: Visit) -> Response:
    """A session at its latest checkpoint."""
    session_id = visit.path("session_id")
    details, found = await asyncio.gather(
        visit.client.get_session(session_id),
        checkpoints.window(visit.client, session_id, None, visit.query("top")),
    )
    rows = timeline(found.listed, ROWS, has_older=found.has_older)
    own = [row.listed for row in rows.rows if not row.checkpoint.namespace]
    selected = own[0] if own else rows.rows[0].listed if rows.rows else None
    return await _show(visit, details, found, rows, selected)


async def show_checkpoint(visit: Visit) -> Response:
    """A session at one of its checkpoints."""
    session_id = visit.path("session_id")
    key = (visit.query("namespace"), visit.path("checkpoint_id"))
    if visit.request.headers.get(FRAGMENT_HEADER) == "detail":
        return await _show_fragment(visit, key)
    details, found = await asyncio.gather(
        visit.client.get_session(session_id),
        checkpoints.window(visit.client, session_id, key, visit.query("top")),
    )
    rows = timeline(found.listed, ROWS, has_older=found.has_older)
    listed = next((each for each in found.listed if key_of(each.checkpoint) == key), None)
    if listed is None:
        listed = await checkpoints.find(visit.client, session_id, key)
    return await _show(visit, details, found, rows, listed)


async def go_to_step(visit: Visit) -> Response:
    """The checkpoint of a step, or the nearest one before it."""
    session_id, namespace, tab = visit.path("session_id"), visit.query("namespace"), visit.query("tab")
    text = visit.query("step")
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise HTTPException(400, "A step is a number from 0 on.")
    found = await checkpoints.newest(visit.client, session_id, namespace, int(text))
    if found is None:
        return visit.redirect(session_url(session_id, tab=tab))
    return visit.redirect(checkpoint_url(session_id, found.checkpoint.checkpoint_id, namespace, tab=tab))


async def revision(visit: Visit) -> Response:
    """The revision of a session, which the page of the session asks for from time to time."""
    details = await visit.client.get_session(visit.path("session_id"))
    return PlainTextResponse(str(details.summary.revision))


async def _show_fragment(visit: Visit, key: Key) -> Response:
    listed = await checkpoints.find(visit.client, visit.path("session_id"), key)
    shown = await detail.load(visit, listed, await checkpoints.parent(visit.client, visit.path("session_id"), listed))
    response = visit.render("session_detail.html", shown=shown, session_id=visit.path("session_id"))
    response.headers["vary"] = FRAGMENT_HEADER
    return response


async def _show(
    visit: Visit, details: SessionDetails, found: Window, rows: Timeline, selected: ListedCheckpoint | None
) -> Response:
    session_id = visit.path("session_id")
    story, shown = await asyncio.gather(_story(visit, details), _detail(visit, found, selected))
    labels = details.summary.labels
    response = visit.render(
        "session.html",
        forked_from=labels.get(FORKED_FROM, ""),
        labels=[(name, labels[name]) for name in sorted(labels) if name not in HIDDEN_LABELS],
        session_id=session_id,
        details=details,
        story=story,
        timeline=rows,
        window=found,
        shown=shown,
        selected=key_of(selected.checkpoint) if selected is not None else None,
        top=visit.query("top"),
    )
    response.headers["vary"] = FRAGMENT_HEADER
    return response


async def _detail(visit: Visit, found: Window, selected: ListedCheckpoint | None) -> "detail.Shown | None":
    if selected is None:
        return None
    wanted = (selected.checkpoint.namespace, selected.checkpoint.parent_id)
    parent = next((each for each in found.listed if key_of(each.checkpoint) == wanted), None)
    if parent is None:
        parent = await checkpoints.parent(visit.client, visit.path("session_id"), selected)
    return await detail.load(visit, selected, parent)


async def _story(visit: Visit, details: SessionDetails) -> Story:
    """The session's status, from its latest checkpoint."""
    session_id = visit.path("session_id")
    try:
        latest = await visit.client.load_latest(session_id, channels=STATUS_CHANNELS)
    except DataLoss as error:
        return Story("damaged", [Piece(error.message)])
    now, lease = time.time(), details.lease
    found: Progress | None = None
    if latest.checkpoint is not None:
        parent: ListedCheckpoint | None = None
        if ran_needs_parent(latest.checkpoint):
            own = ListedCheckpoint(latest.checkpoint, [], latest.checkpoint_revision, Timestamp(), 0)
            parent = await checkpoints.parent(visit.client, session_id, own)
        found = progress(
            latest.checkpoint,
            latest.pending_writes,
            parent.checkpoint if parent is not None else None,
            channels=STATUS_CHANNELS,
        )
    known = status(details.summary, found, now, lease.expire_at if lease is not None else None)
    return Story(known.kind.value, banner(known, latest.checkpoint, found, lease, now))


routes: list[BaseRoute] = [
    page("/sessions/{session_id:id}", show_latest),
    page("/sessions/{session_id:id}/step", go_to_step),
    page("/sessions/{session_id:id}/revision", revision),
    page("/sessions/{session_id:id}/checkpoints/{checkpoint_id:id}", show_checkpoint),
]
