"""Goes through all sessions of a store, past those whose rows cannot be read."""

from functools import partial

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.session_scan import SweptSession, keys_after, session_at
from lockstitch_server.storage.session_scan import sessions_after as scan
from lockstitch_server.storage.store import Store


async def sessions_after(store: Store, after: bytes, limit: int) -> list[SweptSession]:
    """At most `limit` sessions of all tenants, by key. Fails with DATA_LOSS where the index of keys is damaged."""
    try:
        return await store.snapshot(partial(scan, after=after, limit=limit))
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS:
            raise
    keys = await store.snapshot(partial(keys_after, after=after, limit=limit))
    return [await _session(store, key) for key in keys]


async def _session(store: Store, key: bytes) -> SweptSession:
    try:
        return await store.snapshot(lambda repository: session_at(repository, key))
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS:
            raise
        return SweptSession(key, "", "", 0, None, over=False, damaged=True)
