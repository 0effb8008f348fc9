"""A session with its settings, which saves do not use: labels, lease, tombstone, retention, deletions.

Times are the database's, in ns. Methods change the object; the code that read it under a lock writes it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import content
from lockstitch_server.core.format.rows import NS_PER_MICROSECOND, SessionRow
from lockstitch_server.core.sessions.leases import DELETED, NOBODY, Holder, check_lease, rfc3339


class Retention(NamedTuple):
    """Which checkpoints of a session to keep."""

    keep_last: int = 0
    """Keep the N greatest ids of each namespace. 0 keeps all."""
    max_age: int = 0
    """Keep checkpoints that were saved at most this long ago, in ns. 0 keeps all."""

    def __bool__(self) -> bool:
        return bool(self.keep_last or self.max_age)


class Lease(NamedTuple):
    """The right to write to a session."""

    token: int
    holder: str
    acquired_at: int
    expire_at: int


@dataclass(slots=True)
class Session:
    """A session, at a moment of the database's clock."""

    row: SessionRow
    now: int
    is_new: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    lease_token: int = 0
    """The last token that was issued; 0: none."""
    lease_holder: Holder = NOBODY
    lease_acquired_at: int = 0
    lease_expire_at: int = 0
    lease_revision: int = 0
    tombstone_until: int | None = None
    retention: Retention | None = None
    """None: the server's."""
    deletion_revision: int = 0
    deleted_revision: int = 0
    origin: bytes = b""
    latest_checkpoint_id: str = ""
    latest_step: int = 0

    @property
    def alive(self) -> bool:
        """Whether the session exists and has not expired."""
        return not self.is_new and not self.row.expired(self.now)

    @property
    def lease(self) -> Lease | None:
        """The lease, if it is live."""
        if self.lease_expire_at <= self.now:
            return None
        return Lease(self.lease_token, self.lease_holder.name, self.lease_acquired_at, self.lease_expire_at)

    def touch(self) -> int:
        """Begin a change. Returns the new revision."""
        self.row.revision = max(self.row.revision + 1, self.now // NS_PER_MICROSECOND)
        return self.row.revision

    def changed(self) -> None:
        """Begin a change by a caller, which also sets `updated_at` and extends the expiry."""
        self.row.updated_at = self.touch() * NS_PER_MICROSECOND
        if self.row.ttl is not None:
            self.row.expire_at = self.row.updated_at + self.row.ttl

    def check_lease(self, token: int) -> None:
        """Fails with LEASE_LOST."""
        check_lease(self.row, token)

    def is_forgotten(self, grace: int) -> bool:
        """Whether nothing of the session is needed any more. grace: how long ago it must have ended, in ns."""
        over = self.row.expire_at == DELETED and self._is_unchanged_for(grace)
        return over and self.lease is None and not self.row.tombstone_until

    def is_empty(self, grace: int) -> bool:
        """Whether the session has nothing, not even a live lease, and has not changed for `grace` ns."""
        row, settings = self.row, (self.labels, self.retention, self.row.ttl)
        if self.is_new or not self.alive or row.checkpoint_count or row.write_bytes or any(settings):
            return False
        return self.lease is None and self._is_unchanged_for(grace) and self.lease_expire_at + grace <= self.now

    def _is_unchanged_for(self, time: int) -> bool:
        return self.row.revision * NS_PER_MICROSECOND + time <= self.now

    # Leases

    def acquire(self, holder: Holder, ttl: int) -> Lease:
        """Give the lease to a holder. Fails with LEASE_HELD."""
        lease = self.lease
        if lease is not None and self.lease_holder != holder:
            raise held(self.row.session_id, lease)
        if lease is not None and holder.acquisition_id:  # a retry, whose first answer may still arrive
            return self.renew(lease.token, ttl)
        # By the clock too, so that a token never comes again, not even when nothing is left of the session.
        self.lease_token = max(self.lease_token + 1, self.now // NS_PER_MICROSECOND)
        self.lease_holder = holder
        self.lease_acquired_at, self.lease_expire_at = self.now, self.now + ttl
        self.lease_revision = self.touch()
        return Lease(self.lease_token, holder.name, self.now, self.lease_expire_at)

    def renew(self, token: int, ttl: int) -> Lease:
        """Prolong the lease. Fails with LEASE_LOST."""
        self.check_lease(token)
        self.lease_expire_at = self.now + ttl
        return Lease(token, self.lease_holder.name, self.lease_acquired_at, self.lease_expire_at)

    def release(self, token: int) -> bool:
        """End the lease if this is its token. Returns whether it was."""
        lease = self.lease
        if lease is None or lease.token != token:
            return False
        self.lease_expire_at = 0
        self.lease_revision = self.touch()
        return True

    # Deletion

    def mark_deleted(self, tombstone: int, newest: int) -> None:
        """Delete the session, even if a caller holds its lease. No call sees its rows, which are cleared later."""
        self.end(newest)
        if self.lease is not None:
            self.lease_revision = self.row.revision
        self.lease_expire_at = 0
        self.tombstone_until = self.now + tombstone if tombstone else None

    def end(self, newest: int) -> None:
        """Reset the session to one without content. newest: the greatest revision of a checkpoint."""
        row = self.row
        self.deleted_revision = max(self.deleted_revision, newest)
        self.deletion_revision = self.touch()
        row.ttl, row.expire_at = None, DELETED
        row.checkpoint_count = row.stored_bytes = row.write_bytes = 0
        row.content = content.EMPTY
        self.tombstone_until = None
        self.labels, self.retention, self.origin = {}, None, b""

    def record_deleted_checkpoints(self, newest: int, record_bytes: int, count: int) -> None:
        """Record that checkpoints were deleted. newest: the greatest of their revisions."""
        self.deletion_revision = self.touch()
        self.deleted_revision = max(self.deleted_revision, newest)
        self.row.checkpoint_count -= count
        self.row.stored_bytes -= record_bytes


def held(session_id: str, lease: Lease) -> Failure:
    """The failure of an acquisition if another holder has the lease."""
    until = rfc3339(lease.expire_at)
    return Failure(
        Reason.LEASE_HELD,
        f"the lease of session {session_id!r} is held by {lease.holder!r} until {until}",
        session_id=session_id,
        holder=lease.holder,
        expire_at=until,
    )


def session_not_found(session_id: str) -> Failure:
    """The failure of a call for a session that does not exist."""
    return Failure(Reason.SESSION_NOT_FOUND, f"there is no session {session_id!r}", session_id=session_id)
