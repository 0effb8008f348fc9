"""One checkpoint: what its open tab shows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToJson

from lockstitch import Checkpoint, DataLoss, ListedCheckpoint
from lockstitch.inspect import Progress, names, progress
from lockstitch_ui.pages import checkpoints
from lockstitch_ui.pages.comparing import Side, compare
from lockstitch_ui.views import state, tabs
from lockstitch_ui.views.state import MAX_STATE_BYTES
from lockstitch_ui.views.timeline import Row, timeline
from lockstitch_ui.views.tree import Budget
from lockstitch_ui.visit import Visit
from lockstitch_ui.workers import apart

TABS = {
    "state": "State",
    "changes": "Changes",
    "writes": "Writes",
    "errors": "Errors",
    "run": "Run",
    "metadata": "Metadata",
    "json": "JSON",
}
MAX_JSON_BYTES = 256 * 1024
"""Of a checkpoint that is shown as JSON. The download has larger ones."""
MAX_JSON = 200_000
"""Characters of JSON that are shown. The download has all of them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A checkpoint with what its open tab shows. row: as in the timeline. damage: why the tab has nothing to show."""

    session_id: str
    row: Row
    listed: ListedCheckpoint
    parent: ListedCheckpoint | None
    progress: Progress
    tab: str
    content: dict[str, Any]
    damage: str = ""

    @property
    def tabs(self) -> dict[str, str]:
        """The tabs by name, with their titles."""
        return TABS


async def load(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> Shown:
    """Get what the open tab shows."""
    session_id = visit.path("session_id")
    tab = visit.query("tab", "state")
    tab = tab if tab in TABS else "state"
    row = timeline([listed, *([parent] if parent is not None else [])], 1, has_older=True).rows[0]
    found = progress(listed.checkpoint, listed.pending_writes, parent.checkpoint if parent is not None else None)
    try:
        content, damage = await _CONTENT[tab](visit, listed, parent), ""
    except DataLoss as error:  # the timeline and the other tabs may be whole
        content, damage = {}, error.message
    return Shown(session_id, row, listed, parent, found, tab, content, damage)


async def _state(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    session_id, asked = visit.path("session_id"), visit.query("channel")
    loaded = checkpoints.chosen(listed, asked)
    changed = state.changed(listed, parent, loaded or ()) if listed.channels else None
    own, before = await asyncio.gather(
        checkpoints.load_state(visit.client, session_id, listed, loaded),
        checkpoints.load_state(visit.client, session_id, parent, changed)
        if parent is not None and (changed is not None or parent.state_bytes <= MAX_STATE_BYTES)
        else _nothing(),
    )
    found = await asyncio.to_thread(state.channels, listed, own, parent, before, _start(visit))
    return {"channels": found, "is_whole": loaded is None or len(loaded) == len(listed.channels)}


async def _changes(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    if parent is None:
        return {"comparison": None}
    session_id = visit.path("session_id")
    found = await compare(visit.client, Side(session_id, parent), Side(session_id, listed), visit.query("channel"))
    return {"comparison": found}


async def _writes(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    found, more = await asyncio.to_thread(tabs.tasks, listed.pending_writes)
    return {"tasks": found, "more": more}


async def _errors(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    session_id = visit.path("session_id")
    own = await checkpoints.load_state(visit.client, session_id, listed, _if_there("errors", listed))
    known = None
    if parent is not None:
        before = await checkpoints.load_state(visit.client, session_id, parent, _if_there("errors", parent))
        known = len(before.errors.items)
    found, more = await asyncio.to_thread(tabs.errors, own, known)
    return {"errors": found, "more": more}


async def _run(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    found, more = tabs.versions(listed.checkpoint)
    return {"versions": found, "more": more, "skipped": names(listed.checkpoint.skipped_nodes)}


async def _metadata(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    header = None
    if listed.checkpoint.HasField("header"):
        header = tabs.value_of(listed.checkpoint.header, Budget(), "header")
    trace = visit.settings.trace_url.replace("{trace_id}", listed.trace_id) if listed.trace_id else ""
    return {
        "metadata": tabs.metadata(listed.checkpoint),
        "header": header,
        "trace_url": trace if visit.settings.trace_url else "",
        "created_at": tabs.exact_time(listed.checkpoint.created_at),
        "saved_at": tabs.exact_time(listed.saved_at) if listed.saved_at.seconds else "",
    }


async def _json(visit: Visit, listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> dict[str, Any]:
    loaded = checkpoints.chosen(listed, visit.query("channel"), MAX_JSON_BYTES)
    own = await checkpoints.load_state(visit.client, visit.path("session_id"), listed, loaded)
    whole = checkpoints.with_state(listed, own)
    size = whole.ByteSize()
    text = await apart(_as_json, whole) if size <= MAX_JSON_BYTES else ""
    left_out = [] if loaded is None else [size.channel for size in listed.channels if size.channel not in loaded]
    return {
        "json": text[:MAX_JSON],
        "cut": max(0, len(text) - MAX_JSON),
        "left_out": left_out,
        "size": size,
        "is_shown": bool(text),
    }


def _as_json(checkpoint: Checkpoint) -> str:
    return MessageToJson(checkpoint, preserving_proto_field_name=True, ensure_ascii=False)


def _if_there(channel: str, listed: ListedCheckpoint) -> Sequence[str]:
    if listed.channels and all(size.channel != channel for size in listed.channels):
        return []
    return [channel]


def _start(visit: Visit) -> int | None:
    """The first message to show."""
    text = visit.query("messages")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


async def _nothing() -> None:
    return None


_CONTENT = {
    "state": _state,
    "changes": _changes,
    "writes": _writes,
    "errors": _errors,
    "run": _run,
    "metadata": _metadata,
    "json": _json,
}
