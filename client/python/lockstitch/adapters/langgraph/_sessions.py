"""Calls about many sessions, as many at a time as the server takes. None means none here, never all."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from lockstitch._api import Api
from lockstitch._types import Retention

SESSIONS_PER_CALL = 1000


async def delete(api: Api, session_ids: Sequence[str], tombstone: timedelta | float) -> None:
    """Delete sessions. They cannot be created again for the time given."""
    for some in _portions(session_ids):
        await api.delete_sessions(some, tombstone=tombstone)


async def prune(api: Api, session_ids: Sequence[str], keep_last: int) -> None:
    """Keep only a number of the latest checkpoints of each namespace."""
    for some in _portions(session_ids):
        await api.prune_sessions(some, retention=Retention(keep_last=keep_last))


def _portions(session_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(session_ids), SESSIONS_PER_CALL):
        yield session_ids[start : start + SESSIONS_PER_CALL]
