"""Changes of sessions. Their routes exist only where the explorer allows changes.

Each has a page with a form, which says what will happen, and an action that the form is sent to.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lockstitch import NotFound, Retention, View
from lockstitch.v1.checkpoint_service_pb2 import ChannelSize
from lockstitch_ui import edits, text
from lockstitch_ui.counts import taken_by_rewind
from lockstitch_ui.urls import change_url, checkpoint_url, session_url, with_query
from lockstitch_ui.views.sessions import FORKED_AT, FORKED_FROM
from lockstitch_ui.visit import Visit, action, page
from lockstitch_ui.workers import apart

MAX_NAME = 255


async def fork_form(visit: Visit) -> Response:
    """Ask for the id of the new session."""
    return _form(visit, "fork", target=f"{visit.path('session_id')[: MAX_NAME - 5]}-fork")


async def fork(visit: Visit) -> Response:
    """Copy the session, up to a checkpoint."""
    fields = await visit.form()
    target = await _copy(visit, fields)
    return visit.redirect(session_url(target, done="fork"))


async def edit_form(visit: Visit) -> Response:
    """Show a value to edit; without one, what can be edited."""
    session_id, place = visit.path("session_id"), _place(visit.request.query_params)
    checkpoint_id, namespace = visit.query("checkpoint"), visit.query("namespace")
    if not place.channel:
        return _form(visit, "edit", place=place, channels=await _channels(visit), value=None)
    loaded = await visit.client.load(
        session_id, checkpoint_id=checkpoint_id, namespace=namespace, channels=[place.channel]
    )
    value = await apart(edits.read, loaded.checkpoint, place)
    return _form(visit, "edit", place=place, value=value, channels=(), target=f"{session_id[: MAX_NAME - 5]}-edit")


async def edit(visit: Visit) -> Response:
    """Copy the session up to a checkpoint, and change a value in the copy's last one."""
    fields = await visit.form()
    checkpoint_id, namespace = fields.get("checkpoint", ""), fields.get("namespace", "")
    place, value = _place(fields), fields.get("value", "").replace("\r\n", "\n")
    loaded = await visit.client.load(visit.path("session_id"), checkpoint_id=checkpoint_id, namespace=namespace)
    # before anything is copied: it may not be possible
    changed = await apart(edits.edited, loaded.checkpoint, place, value)
    target = await _copy(visit, fields)
    changed.session_id = target
    await visit.client.save(changed, expected_latest=checkpoint_id)
    return visit.redirect(checkpoint_url(target, checkpoint_id, namespace, done="edit"))


async def rewind_form(visit: Visit) -> Response:
    """Say how many checkpoints go."""
    session_id, namespace = visit.path("session_id"), visit.query("namespace")
    loaded = await visit.client.load(
        session_id, checkpoint_id=visit.query("checkpoint"), namespace=namespace, view=View.HEADER
    )
    taken = await taken_by_rewind(visit.client, loaded)
    return _form(visit, "rewind", taken=taken, step=loaded.checkpoint.step, revision=loaded.revision)


async def rewind(visit: Visit) -> Response:
    """Delete what came after a checkpoint."""
    fields, session_id = await visit.form(), visit.path("session_id")
    summary = (await visit.client.get_session(session_id)).summary
    if str(summary.revision) != fields.get("revision"):
        raise HTTPException(
            409, "The session has changed since the page was loaded. Go back, reload it and look again."
        )
    done = await visit.client.rewind(session_id, fields.get("checkpoint", ""), namespace=fields.get("namespace", ""))
    return visit.redirect(session_url(session_id, done="rewind", count=done.deleted))


async def prune_form(visit: Visit) -> Response:
    """Say what a retention would delete."""
    session_id = visit.path("session_id")
    retention = _retention(visit.request.query_params)
    would = None
    if retention is not None:
        would = await visit.client.prune_sessions([session_id], retention=retention, dry_run=True)
    return _form(
        visit, "prune", would=would, keep_last=visit.query("keep_last"), max_age_days=visit.query("max_age_days")
    )


async def prune(visit: Visit) -> Response:
    """Delete old checkpoints."""
    fields, session_id = await visit.form(), visit.path("session_id")
    retention = _retention(fields)
    if retention is None:
        raise HTTPException(400, "Say how many checkpoints to keep, or how old they may be.")
    done = await visit.client.prune_sessions([session_id], retention=retention)
    return visit.redirect(session_url(session_id, done="prune", count=done.checkpoints))


async def label_form(visit: Visit) -> Response:
    """Show the labels."""
    details = await visit.client.get_session(visit.path("session_id"))
    return _form(visit, "label", labels=dict(sorted(details.summary.labels.items())))


async def label(visit: Visit) -> Response:
    """Set or remove a label."""
    fields, session_id = await visit.form(), visit.path("session_id")
    if "remove" in fields:
        await visit.client.update_session(session_id, remove_labels=[fields["remove"]])
    else:
        name = fields.get("name", "").strip()
        await visit.client.update_session(session_id, set_labels={name: fields.get("text", "").strip()})
    return visit.redirect(change_url(session_id, "label", done="label"))


async def break_lease_form(visit: Visit) -> Response:
    """Say who holds the lease."""
    lease = (await visit.client.get_session(visit.path("session_id"))).lease
    left = max(0.0, text.seconds(lease.expire_at) - time.time()) if lease is not None else None
    acquired = lease.acquired_at.ToNanoseconds() if lease is not None else 0
    return _form(visit, "break-lease", lease=lease, seconds_left=left, acquired=acquired)


async def break_lease(visit: Visit) -> Response:
    """End the lease that the form has shown."""
    fields, session_id = await visit.form(), visit.path("session_id")
    acquired = fields.get("acquired", "")
    if not (acquired.isascii() and acquired.isdecimal() and len(acquired) < 20):
        raise HTTPException(400, "The form does not say which lease.")
    acquired_at = Timestamp()
    acquired_at.FromNanoseconds(int(acquired))
    if not await visit.client.break_lease(session_id, acquired_at=acquired_at):
        raise HTTPException(409, "That lease is over, so there is nothing to break. Go back and reload the page.")
    return visit.redirect(session_url(session_id, done="break-lease"))


async def delete_form(visit: Visit) -> Response:
    """Say what goes, and ask for the name."""
    details = await visit.client.get_session(visit.path("session_id"))
    return _form(visit, "delete", summary=details.summary, lease=details.lease)


async def delete(visit: Visit) -> Response:
    """Delete the session, if its name was typed."""
    fields, session_id = await visit.form(), visit.path("session_id")
    if fields.get("confirm", "") != session_id:
        details = await visit.client.get_session(session_id)
        problem = "That is not the id of this session. Nothing was deleted."
        return _form(visit, "delete", 400, summary=details.summary, lease=details.lease, problem=problem)
    deleted = await visit.client.delete_sessions([session_id])
    return visit.redirect(with_query("/sessions", {"done": "delete", "count": deleted}))


def _form(visit: Visit, name: str, status: int = 200, /, problem: str = "", **values: object) -> Response:
    """The page of a change, with the checkpoint that the query names."""
    return visit.render(
        f"change/{name}.html",
        status,
        session_id=visit.path("session_id"),
        checkpoint=visit.query("checkpoint"),
        namespace=visit.query("namespace"),
        problem=problem,
        **values,
    )


async def _channels(visit: Visit) -> Sequence[ChannelSize]:
    """The channels of the checkpoint that the query names, without their values. Raises NotFound."""
    session_id, checkpoint_id = visit.path("session_id"), visit.query("checkpoint")
    pager = visit.client.list_checkpoints(
        session_id,
        namespace=visit.query("namespace"),
        # No id is between an id and itself with a space after it: control characters are not allowed.
        before_checkpoint_id=f"{checkpoint_id} ",
        view=View.HEADER,
        include_channel_sizes=True,
        page_size=1,
    )
    async with aclosing(pager.pages()) as pages:
        items = (await anext(pages)).items
    if not items or items[0].checkpoint.checkpoint_id != checkpoint_id:
        raise NotFound(f'There is no checkpoint "{checkpoint_id}" in this session and namespace.')
    return items[0].channels


async def _copy(visit: Visit, fields: Mapping[str, str]) -> str:
    """Copy the session up to the checkpoint that a form names. Returns the id of the copy."""
    session_id, target = visit.path("session_id"), fields.get("target", "")
    checkpoint_id = fields.get("checkpoint", "")
    labels = {FORKED_FROM: session_id, FORKED_AT: checkpoint_id}
    await visit.client.copy_session(
        session_id, target, checkpoint_id=checkpoint_id, namespace=fields.get("namespace", ""), labels=labels
    )
    return target


def _place(fields: Mapping[str, str]) -> edits.Place:
    item = fields.get("item", "")
    return edits.Place(fields.get("channel", ""), int(item) if item.isdecimal() and len(item) < 10 else -1)


def _retention(fields: Mapping[str, str]) -> Retention | None:
    """What a form says; None: nothing. Raises HTTPException."""
    keep, days = fields.get("keep_last", "").strip(), fields.get("max_age_days", "").strip()
    if not (keep or days):
        return None
    try:
        number, age = int(keep or 0), timedelta(days=float(days)) if days else None
    except (ValueError, OverflowError):
        raise HTTPException(400, "The number of checkpoints and the age in days are numbers.") from None
    if number < 0 or number > 2**32 - 1 or (age is not None and age < timedelta(seconds=1)):
        raise HTTPException(400, "The number of checkpoints is 0 to 4294967295, the age in days above 0.")
    return Retention(keep_last=number, max_age=age)


_PATH = "/sessions/{session_id:id}/change/"
_CHANGES = {
    "fork": (fork_form, fork),
    "edit": (edit_form, edit),
    "rewind": (rewind_form, rewind),
    "prune": (prune_form, prune),
    "label": (label_form, label),
    "break-lease": (break_lease_form, break_lease),
    "delete": (delete_form, delete),
}
routes = [page(_PATH + name, form) for name, (form, _) in _CHANGES.items()]
routes += [action(_PATH + name, change) for name, (_, change) in _CHANGES.items()]
