"""What differs between two checkpoints, of one session or of two."""

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute

from lockstitch_ui.pages import checkpoints
from lockstitch_ui.pages.comparing import Comparison, Side, compare
from lockstitch_ui.urls import diff_url
from lockstitch_ui.visit import Visit, page

_PREFIXES = ("old", "new")


async def show(visit: Visit) -> Response:
    """The form for two checkpoints, and what differs between them."""
    sides = [await _side(visit, prefix) for prefix in _PREFIXES]
    session_id, given = visit.path("session_id"), _given(visit)
    found: Comparison | None = None
    old, new = sides
    if old is not None and new is not None:
        found = await compare(visit.client, old, new, visit.query("channel"))
    return visit.render(
        "diff.html",
        session_id=session_id,
        old=old,
        new=new,
        comparison=found,
        given=given,
        more_url=lambda channel: diff_url(session_id, **given, channel=channel),
    )


async def _side(visit: Visit, prefix: str) -> Side | None:
    """A checkpoint as the query names it: by id, or by step; None: it names none."""
    session_id = visit.query(f"{prefix}_session") or visit.path("session_id")
    namespace, checkpoint_id = visit.query(f"{prefix}_namespace"), visit.query(prefix)
    step = visit.query(f"{prefix}_step")
    if checkpoint_id:
        return Side(session_id, await checkpoints.find(visit.client, session_id, (namespace, checkpoint_id)))
    if not step:
        return None
    if not (step.isascii() and step.isdigit() and int(step) < 2**63):
        raise HTTPException(400, "A step is a number from 0 on.")
    found = await checkpoints.newest(visit.client, session_id, namespace, int(step))
    if found is None or found.checkpoint.step != int(step):
        raise HTTPException(404, f"Session {session_id!r} has no checkpoint of step {step}.")
    key = (namespace, found.checkpoint.checkpoint_id)
    return Side(session_id, await checkpoints.find(visit.client, session_id, key))


def _given(visit: Visit) -> dict[str, str]:
    """The query, for the form."""
    names = [prefix + end for prefix in _PREFIXES for end in ("", "_session", "_namespace", "_step")]
    return {name: visit.query(name) for name in names}


routes: list[BaseRoute] = [page("/sessions/{session_id:id}/diff", show)]
