"""Watches sessions: polls the database by one query for all sessions that are watched."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.rows import SessionRow
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.events import Changes, Event, WatchCursor, changes_since, known_until, seen_now
from lockstitch_server.core.sessions.session import Session
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

PAGE = 100
"""Events that a watcher holds at a time, about."""
FEW = 1000
"""Sessions with more checkpoints are not searched for new ones; the tenant's latest saves are."""

log = structlog.get_logger(__name__)


class WatchItem(NamedTuple):
    """An event for a watcher, or None as a heartbeat, and the position after it."""

    event: Event | None
    seen: WatchCursor


@dataclass(eq=False, slots=True)
class _Subscription:
    key: bytes
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    mark: object = None
    """The state of the session when `changed` was last set."""


class Watcher:
    """Reports to any number of callers what happens to sessions, even if other servers change them."""

    def __init__(self, store: Store, poll_seconds: float) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._subscriptions: set[_Subscription] = set()
        self._polling: asyncio.Task[None] | None = None

    @property
    def callers(self) -> int:
        """Number of callers that watch."""
        return len(self._subscriptions)

    async def watch(
        self,
        tenant: str,
        session_id: str,
        seen: WatchCursor | None,
        heartbeat: float,
        closing: "asyncio.Future[None]",
    ) -> AsyncGenerator[WatchItem, None]:
        """The events after a position (None: from now on). Fails with DRAINING.

        Fails with RESUME_TOO_OLD only at the first poll. A watch that has begun goes on, and reports checkpoints that
        were saved and deleted between two polls as deleted.
        """
        complete = seen is not None
        subscription = _Subscription(session_key(tenant, session_id))
        self._subscribe(subscription)
        try:
            if seen is None:
                seen = seen_now(await self._store.snapshot(lambda repository: repository.get(tenant, session_id)))
            yield WatchItem(None, seen)
            quiet = _Quiet(heartbeat)
            while True:
                subscription.changed.clear()
                found, more = await self._changes(tenant, session_id, seen, complete=complete)
                complete = False
                for event in found.events:
                    yield WatchItem(event, event.seen)
                    quiet.over()
                seen = found.seen
                if not more and not await _wait(subscription.changed, closing, quiet.left):
                    yield WatchItem(None, seen)
                    quiet.over()
        finally:
            self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """Stop polling."""
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling

    async def _changes(
        self, tenant: str, session_id: str, seen: WatchCursor, *, complete: bool
    ) -> tuple[Changes, bool]:
        async def unit(repository: SessionRepository) -> tuple[Changes, bool]:
            session = await repository.get(tenant, session_id)
            since = known_until(session, seen)
            saved = await repository.saved_since(session, since, PAGE + 1, lately=since > 0 and _is_large(session))
            more = len(saved) > PAGE
            return changes_since(session, saved[:PAGE], seen, more=more, complete=complete), more

        return await self._store.snapshot(unit)

    def _subscribe(self, subscription: _Subscription) -> None:
        self._subscriptions.add(subscription)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._subscriptions:
            await asyncio.sleep(self._poll_seconds)
            keys = sorted({subscription.key for subscription in self._subscriptions})
            try:
                rows = await self._store.snapshot(lambda repository, keys=keys: repository.catalog.sessions(keys))  # type: ignore[misc]
            except Exception as error:  # a caller that looks by itself gets the error
                if not isinstance(error, Failure):
                    log.warning("watch_failed", exc_info=True)
                self._wake(self._subscriptions)
                continue
            self._wake(each for each in self._subscriptions if each.mark != _mark(rows.get(each.key)))
            for subscription in self._subscriptions:
                subscription.mark = _mark(rows.get(subscription.key))

    def _wake(self, subscriptions: Iterable[_Subscription]) -> None:
        for subscription in list(subscriptions):
            subscription.changed.set()


class _Quiet:
    """The time until a watcher must receive a heartbeat."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.over()

    def over(self) -> None:
        self._end = time.monotonic() + self._seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())


async def _wait(changed: asyncio.Event, closing: "asyncio.Future[None]", seconds: float) -> bool:
    """Whether something changed within this time. Fails with DRAINING when the call should end."""
    waiting = asyncio.create_task(changed.wait())
    both: set[asyncio.Future[Any]] = {waiting, closing}
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if closing.done():
            raise Failure(Reason.DRAINING, "the server is stopping; watch again with the last resume_token")
        return waiting.done()
    finally:
        waiting.cancel()


def _is_large(session: Session) -> bool:
    return session.row.checkpoint_count > FEW


def _mark(row: SessionRow | None) -> object:
    return (row.revision, row.created_at, row.lease, row.had_expired) if row is not None else ()
