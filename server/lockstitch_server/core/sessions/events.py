"""The events of a session since a watcher last looked, computed from the session as it is now."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.rows import NS_PER_MICROSECOND
from lockstitch_server.core.sessions.session import Lease, Session


class WatchCursor(NamedTuple):
    """The position of a watcher in the events of its session."""

    revision: int = 0
    """The watcher has received all events up to this revision."""
    created_at: int = 0
    """When the session that the watcher knows began; 0: it knows none."""
    lease: int = 0
    """The revision of the lease that the watcher knows; 0: it knows none."""


class SavedCheckpoint(NamedTuple):
    """The checkpoint of an event."""

    revision: int
    namespace: str
    checkpoint_id: str
    parent_id: str
    step: int

    @property
    def saved_at(self) -> int:
        return self.revision * NS_PER_MICROSECOND


class Event(NamedTuple):
    """An event, and the position after it."""

    kind: Literal["saved", "checkpoints_deleted", "session_deleted", "lease_changed"]
    seen: WatchCursor
    saved: SavedCheckpoint | None = None
    lease: Lease | None = None


class Changes(NamedTuple):
    """Events, and the position after them."""

    events: Sequence[Event]
    seen: WatchCursor


def seen_now(session: Session) -> WatchCursor:
    """The position after all events of a session."""
    if not session.alive:
        return WatchCursor(0 if session.is_new else session.row.revision, 0, _lease(session))
    return WatchCursor(session.row.revision, session.row.created_at, _lease(session))


def known_until(session: Session, seen: WatchCursor) -> int:
    """The revision up to which a watcher knows the checkpoints of a session; 0: it knows none of them."""
    return 0 if session.alive and seen.created_at != session.row.created_at else seen.revision


def changes_since(
    session: Session, saved: Sequence[SavedCheckpoint], seen: WatchCursor, *, more: bool, complete: bool = True
) -> Changes:
    """The events after a position.

    saved: its checkpoints of revisions after `known_until`, in order; `more`: there are others after them.
    complete: fail with RESUME_TOO_OLD if some events are no longer known. Otherwise deletions are events, and
    checkpoints that were saved and deleted since are not.
    """
    if complete and session.deleted_revision > seen.revision:
        raise _too_old(session)
    if session.is_new and seen.created_at:  # nothing is left that says when it ended
        if complete:
            raise _too_old(session)
        return Changes([Event("session_deleted", seen := WatchCursor(seen.revision))], seen)
    if not session.alive:
        return _gone(session, saved, seen, more=more)
    events: list[Event] = []
    if seen.created_at not in (0, session.row.created_at):
        if complete and not session.deletion_revision:  # nothing was left of the session that was watched
            raise _too_old(session)
        seen = WatchCursor(max(seen.revision, min(session.deletion_revision, session.row.revision)), 0, seen.lease)
        events.append(Event("session_deleted", seen))
    if saved and saved[0].revision <= seen.revision:  # a copy, or an import: its checkpoints are older than it
        seen = seen._replace(revision=0)
    seen = seen._replace(created_at=session.row.created_at)
    return _living(session, saved, seen, events, more=more)


def _living(
    session: Session, saved: Sequence[SavedCheckpoint], seen: WatchCursor, events: list[Event], *, more: bool
) -> Changes:
    found: list[tuple[int, Event]] = [(each.revision, Event("saved", seen, each)) for each in saved]
    if session.deletion_revision > seen.revision:
        found.append((session.deletion_revision, Event("checkpoints_deleted", seen)))
    if _lease(session) != seen.lease:
        revision = session.lease_revision if session.lease_revision > seen.revision else session.row.revision
        found.append((revision, Event("lease_changed", seen, lease=session.lease)))
    last = saved[-1].revision if more else session.row.revision
    for revision, event in sorted(found, key=lambda item: item[0]):
        if revision > last:
            break
        lease = _lease(session) if event.kind == "lease_changed" else seen.lease
        seen = WatchCursor(max(revision, seen.revision), seen.created_at, lease)
        events.append(event._replace(seen=seen))
    return Changes(events, seen._replace(revision=max(last, seen.revision)))


def _gone(session: Session, saved: Sequence[SavedCheckpoint], seen: WatchCursor, *, more: bool) -> Changes:
    """The events of a session that does not exist now."""
    if not seen.created_at:
        return _lease_only(session, seen)
    events = []
    for each in saved:
        seen = seen._replace(revision=each.revision)
        events.append(Event("saved", seen, each))
    if more:
        return Changes(events, seen)
    seen = WatchCursor(max(seen.revision, session.row.revision), 0, _lease(session))
    return Changes([*events, Event("session_deleted", seen)], seen)


def _lease_only(session: Session, seen: WatchCursor) -> Changes:
    """A session that has ended can be under the lease of a holder that is about to create it again."""
    lease = _lease(session)
    revision = seen.revision if session.is_new else max(seen.revision, session.row.revision)
    if lease == seen.lease:
        return Changes((), seen._replace(revision=revision))
    seen = WatchCursor(revision, 0, lease)
    return Changes([Event("lease_changed", seen, lease=session.lease)], seen)


def _lease(session: Session) -> int:
    return session.lease_revision if session.lease is not None else 0


def _too_old(session: Session) -> Failure:
    session_id = session.row.session_id
    return Failure(
        Reason.RESUME_TOO_OLD,
        "resume_token: checkpoints that were saved since have been deleted; load the session and watch without a token",
        session_id=session_id,
    )
