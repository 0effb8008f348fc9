"""Who may change a session.

Whether a lease is live, and whether a tombstone still counts, was decided by the database's clock when the row was
read; a plan that was made from an older row holds only if that is still so.
"""

from datetime import UTC, datetime

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.records import SessionRow

NS_PER_SECOND = 1_000_000_000
DELETED = 0
"""The expiry of a session that was deleted: servers older than tombstones take it for one whose time is over."""


def check_lease(row: SessionRow, token: int) -> None:
    """A change comes with the token of the live lease, or without one where there is none. Fails with LEASE_LOST."""
    if token == row.lease:
        return
    if token:
        problem = f"no live lease of this session has the token {token}"
    else:
        problem = f"the session is under a lease, held by {row.lease_holder!r}; only its token may change it"
    holder = {"holder": row.lease_holder} if row.lease else {}
    raise Failure(Reason.LEASE_LOST, f"lease_token: {problem}", **holder)


def check_not_deleted(row: SessionRow) -> None:
    """Fails with SESSION_DELETED where a tombstone keeps the session from being begun anew."""
    if row.tombstone_until:
        until = rfc3339(row.tombstone_until)
        raise Failure(
            Reason.SESSION_DELETED,
            f"session {row.session_id!r} was deleted, and cannot be begun anew before {until}",
            session_id=row.session_id,
            until=until,
        )


def rfc3339(ns: int) -> str:
    """A time as text, to the microsecond."""
    seconds, nanos = divmod(ns, NS_PER_SECOND)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)
    return moment.isoformat().replace("+00:00", "Z")
