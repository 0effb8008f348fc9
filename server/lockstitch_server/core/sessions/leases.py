"""Leases and tombstones: who may change a session.

The database's clock decided whether a lease is live, and a tombstone in force, when the row was read. A plan from an
older row is applied only if that is still so.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.rows import SessionRow

NS_PER_SECOND = 1_000_000_000
_SEPARATOR = "\x1f"
"""Between the two parts of a holder where it is stored. Neither part may have control characters."""
DELETED = 0
"""The `expire_at` of a deleted session, which is in the past."""


class Holder(NamedTuple):
    """Who holds a lease: a readable name, and what identifies the acquisition ("": the name alone does).

    Both are one column, so that a server that knows no acquisitions replaces both at once, and sees another holder.
    """

    name: str
    acquisition_id: str = ""

    @property
    def column(self) -> str:
        """The value of the column."""
        return f"{self.name}{_SEPARATOR}{self.acquisition_id}" if self.acquisition_id else self.name

    @classmethod
    def of(cls, column: str) -> "Holder":
        """The holder that a column names."""
        name, _, acquisition_id = column.partition(_SEPARATOR)
        return cls(name, acquisition_id)


NOBODY = Holder("")


def check_lease(row: SessionRow, token: int) -> None:
    """A change needs the token of the live lease, or none if there is no live lease. Fails with LEASE_LOST."""
    refusal = lease_refusal(row, token)
    if refusal is not None:
        raise refusal


def lease_refusal(row: SessionRow, token: int) -> Failure | None:
    """LEASE_LOST if a change with this token is not allowed, else None."""
    if token == row.lease:
        return None
    name = Holder.of(row.lease_holder).name
    if token:
        problem = f"no live lease of this session has the token {token}"
    else:
        problem = f"the session is under a lease, held by {name!r}; only its token may change it"
    holder = {"holder": name} if row.lease else {}
    return Failure(Reason.LEASE_LOST, f"lease_token: {problem}", **holder)


def check_not_deleted(row: SessionRow) -> None:
    """Fails with SESSION_DELETED if a tombstone keeps the session from being created again."""
    if row.tombstone_until:
        until = rfc3339(row.tombstone_until)
        raise Failure(
            Reason.SESSION_DELETED,
            f"session {row.session_id!r} was deleted, and cannot be created again before {until}",
            session_id=row.session_id,
            until=until,
        )


def rfc3339(ns: int) -> str:
    """A time as text, to the microsecond."""
    seconds, nanos = divmod(ns, NS_PER_SECOND)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)
    return moment.isoformat().replace("+00:00", "Z")
