"""Following a session: its events, and its status whenever that changes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch import Client, NotFound, SessionEvent
from lockstitch.inspect import STATUS_CHANNELS, Progress, Status, progress, status
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.session_service_pb2 import CheckpointSaved
from lockstitch_server.cli.standing import parent_in

HEARTBEAT_SECONDS = 2.0
"""Interrupts and errors are no events of their own: the status is looked at so often while nothing happens."""
STATUS_SECONDS = 1.0
"""The status is looked at no more often, so that a busy session's events are not held up."""


class Followed(NamedTuple):
    """An event, with the progress of the checkpoint that was saved; None where there is none, or it is gone again."""

    event: SessionEvent
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class StatusChange:
    """The session's status; None: there is no such session, or no longer. progress: of its latest checkpoint."""

    status: Status | None
    progress: Progress | None = None

    def is_as(self, other: "StatusChange") -> bool:
        """Whether both say the same, apart from how long the lease lasts."""
        pairs = ((each.status.kind, each.status.detail) if each.status else None for each in (self, other))
        one, another = pairs
        return one == another


def follow(client: Client, session_id: str, resume_token: str, limit: int) -> Iterator[Followed | StatusChange]:
    """What happens to a session. limit: end after that many events; 0: go on."""
    last, looked_at, events = StatusChange(None), 0.0, 0
    before: list[Checkpoint] = []
    for event in client.watch_session(session_id, resume_token, heartbeats=True, heartbeat=HEARTBEAT_SECONDS):
        if not event.HasField("heartbeat"):
            found = _loaded(client, session_id, event.saved, before) if event.HasField("saved") else None
            yield Followed(event, found)
            events += 1
            if events == limit:
                return
            if time.monotonic() - looked_at < STATUS_SECONDS:
                continue
        current, looked_at = _status(client, session_id), time.monotonic()
        if not current.is_as(last):
            yield current
        last = current


def _loaded(client: Client, session_id: str, saved: CheckpointSaved, before: list[Checkpoint]) -> Progress | None:
    """The progress of a checkpoint that was saved. before: the one saved before it, which is its parent as a rule."""
    try:
        loaded = client.load(
            session_id, namespace=saved.namespace, checkpoint_id=saved.checkpoint_id, channels=STATUS_CHANNELS
        )
    except NotFound:
        return None
    parent = parent_in(client, loaded.checkpoint, before)
    before[:] = [loaded.checkpoint]
    return progress(loaded.checkpoint, loaded.pending_writes, parent, channels=STATUS_CHANNELS)


def _status(client: Client, session_id: str) -> StatusChange:
    try:
        details = client.get_session(session_id)
        latest = client.load_latest(session_id, channels=STATUS_CHANNELS)
    except NotFound:
        return StatusChange(None)
    found = latest.checkpoint and progress(latest.checkpoint, latest.pending_writes, channels=STATUS_CHANNELS)
    expires = details.lease.expire_at if details.lease is not None else None
    return StatusChange(status(details.summary, found, time.time(), expires), found)
