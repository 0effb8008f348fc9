"""Deletes what a session leaves that is over, in steps, so that saves need not wait for all of it."""

from lockstitch_server.core.sessions.leases import DELETED
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store


async def clear(store: Store, tenant: str, session_id: str) -> bool:
    """Delete the content of a session that is over. Returns whether the session was over.

    The first step marks the session as deleted, so a crash leaves nothing that can be read. The row of the session
    stays for a while, to tell those who watch the session of its end.
    """

    async def step(repository: SessionRepository) -> bool | None:
        """None: there is more to delete."""
        session = await repository.lock(tenant, session_id)
        if session.is_new or session.alive:
            return False
        if session.row.expire_at != DELETED:
            session.end(await repository.newest(session))
            await repository.put(session)
        return await repository.clear_some(session) or None

    while (was_over := await store.transaction(step)) is None:
        pass
    return was_over
