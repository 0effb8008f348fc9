"""Sessions as a whole: settings, leases, deletion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lockstitch_server.core.chunks import chunks
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.leases import DELETED, NS_PER_SECOND, Holder, check_not_deleted
from lockstitch_server.core.sessions.session import Lease, Retention, Session, session_not_found
from lockstitch_server.engine.clearing import clear
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.session_scan import ids_of_tenant
from lockstitch_server.storage.store import Store

AT_ONCE = 16
"""Sessions that are deleted in one transaction."""

GRACE_NS = 600 * NS_PER_SECOND
"""How long the row of a session that is over stays at least."""
BLANK_NS = 86_400 * NS_PER_SECOND
"""How long the row of a session stays that has had a lease and nothing else."""


@dataclass(frozen=True, slots=True)
class Update:
    """What to change of a session. What is absent stays."""

    set_labels: Mapping[str, str] = field(default_factory=dict)
    remove_labels: Sequence[str] = ()
    ttl: int | None = None
    clear_ttl: bool = False
    retention: Retention | None = None
    clear_retention: bool = False
    lease_token: int = 0


class Sessions:
    """Does to single sessions what callers ask for."""

    def __init__(self, store: Store, max_labels: int) -> None:
        self._store = store
        self._max_labels = max_labels

    async def get(self, tenant: str, session_id: str) -> Session:
        """A session. Fails with SESSION_NOT_FOUND."""
        session = await self._store.snapshot(lambda repository: repository.get(tenant, session_id))
        return _existing(session)

    async def ids(self, tenant: str, after: str, limit: int) -> list[str]:
        """Ids of sessions that have checkpoints, in order."""
        return await self._store.snapshot(lambda repository: ids_of_tenant(repository, tenant, after, limit))

    async def update(self, tenant: str, session_id: str, update: Update) -> Session:
        """Change settings. Fails with SESSION_NOT_FOUND, LEASE_LOST, INVALID_FIELD."""

        async def unit(repository: SessionRepository) -> Session:
            session = _existing(await repository.lock(tenant, session_id))
            session.check_lease(update.lease_token)
            self._change(session, update)
            await repository.put(session)
            return session

        return await self._store.transaction(unit)

    def _change(self, session: Session, update: Update) -> None:
        removed = frozenset(update.remove_labels)
        kept = {name: value for name, value in session.labels.items() if name not in removed}
        session.labels = kept | dict(update.set_labels)
        if len(session.labels) > self._max_labels:
            problem = f"the session would have {len(session.labels)} labels; the limit is {self._max_labels}"
            raise Failure(Reason.INVALID_FIELD, f"set_labels: {problem}", field="set_labels", limit=self._max_labels)
        if update.clear_ttl:
            session.row.ttl = session.row.expire_at = None
        elif update.ttl is not None:
            session.row.ttl = update.ttl
        if update.clear_retention:
            session.retention = None
        elif update.retention is not None:
            session.retention = update.retention
        session.changed()

    # Leases

    async def acquire(self, tenant: str, session_id: str, holder: Holder, ttl: int) -> Lease:
        """Take the lease of a session, be there one or not. Fails with LEASE_HELD, SESSION_DELETED."""

        async def unit(repository: SessionRepository) -> Lease:
            session = await repository.lock(tenant, session_id)
            check_not_deleted(session.row)
            lease = session.acquire(holder, ttl)
            await repository.put(session)
            return lease

        return await self._store.transaction(unit)

    async def renew(self, tenant: str, session_id: str, token: int, ttl: int) -> Lease:
        """Prolong a live lease. Fails with LEASE_LOST."""

        async def unit(repository: SessionRepository) -> Lease:
            session = await repository.lock(tenant, session_id)
            lease = session.renew(token, ttl)
            await repository.put(session)
            return lease

        return await self._store.transaction(unit)

    async def release(self, tenant: str, session_id: str, token: int) -> bool:
        """Give a lease back. Gives whether it was held under this token."""

        async def unit(repository: SessionRepository) -> bool:
            session = await repository.lock(tenant, session_id)
            released = session.release(token)
            if released:
                await repository.put(session)
            return released

        return await self._store.transaction(unit)

    async def break_lease(self, tenant: str, session_id: str, acquired_at: int | None) -> bool:
        """End a live lease of any holder; of a given time of acquisition only that one. Gives whether it did."""

        async def unit(repository: SessionRepository) -> bool:
            session = await repository.lock(tenant, session_id)
            lease = session.lease
            if lease is None or acquired_at not in (None, lease.acquired_at):
                return False
            session.release(lease.token)
            await repository.put(session)
            return True

        return await self._store.transaction(unit)

    # Deletion

    async def delete(self, tenant: str, session_ids: Sequence[str], tombstone: int) -> int:
        """Delete sessions. Gives how many there were."""
        # In the order of keys, so that two deletions never wait for one another.
        ordered = sorted(set(session_ids), key=lambda session_id: session_key(tenant, session_id))
        deleted = 0
        for some in chunks(ordered, AT_ONCE):
            buried = await self._bury(tenant, some, tombstone)
            deleted += len(buried)
            for session_id in buried:
                await clear(self._store, tenant, session_id)
        return deleted

    async def clear_if_needed(self, tenant: str, session_id: str) -> bool:
        """Clear a session that is over, if it leaves anything. Gives whether it did."""

        async def unit(repository: SessionRepository) -> bool:
            session = await repository.get(tenant, session_id)
            if session.is_new or session.alive:
                return False
            return session.row.expire_at != DELETED or await repository.has_content(session)

        return await self._store.snapshot(unit) and await clear(self._store, tenant, session_id)

    async def forget_if_possible(self, tenant: str, session_id: str) -> bool:
        """Delete the row of a session that was cleared a while ago, or that never was more than a lease.

        Gives whether it went.
        """

        async def is_forgotten(repository: SessionRepository, session: Session) -> bool:
            old = session.is_forgotten(GRACE_NS) or session.is_empty(BLANK_NS)
            return old and not await repository.has_content(session)

        async def look(repository: SessionRepository) -> bool:
            return await is_forgotten(repository, await repository.get(tenant, session_id))

        async def unit(repository: SessionRepository) -> bool:
            session = await repository.lock(tenant, session_id)
            if not await is_forgotten(repository, session):
                return False
            await repository.delete(session)
            return True

        return await self._store.snapshot(look) and await self._store.transaction(unit)

    async def _bury(self, tenant: str, session_ids: Sequence[str], tombstone: int) -> list[str]:
        async def unit(repository: SessionRepository) -> list[str]:
            buried = []
            for session_id in session_ids:
                session = await repository.lock_damaged(tenant, session_id) or await repository.lock(tenant, session_id)
                if session.alive:
                    session.mark_deleted(tombstone, await repository.newest(session))
                    await repository.put(session)
                    buried.append(session_id)
            return buried

        return await self._store.transaction(unit)


def _existing(session: Session) -> Session:
    if not session.alive:
        raise session_not_found(session.row.session_id)
    return session
