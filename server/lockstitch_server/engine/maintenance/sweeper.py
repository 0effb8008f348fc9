"""Makes room: old checkpoints go by policy, and so does what is left of sessions that are over.

Of all servers on a database one sweeps at a time; a row in the database elects it. Nothing depends on there being only
one: each deletion is a transaction that looks at the session itself.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.rows import NS_PER_MICROSECOND
from lockstitch_server.core.sessions.leases import NS_PER_SECOND
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.damage import DamageLog
from lockstitch_server.engine.maintenance.making_way import make_way
from lockstitch_server.engine.maintenance.merger import Merger
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.sessions import Sessions
from lockstitch_server.engine.reads.session_pages import sessions_after
from lockstitch_server.storage.leadership import acquire_leadership, put_position, resign
from lockstitch_server.storage.session_scan import SweptSession
from lockstitch_server.storage.store import Store

ROLE = "sweeper"
LEASE_SECONDS = 60
"""How long one that has died keeps the office."""
COMMIT_NS = 60 * NS_PER_SECOND
"""How long after a save was planned, and its revision chosen, it may be committed."""
RETIRE_SECONDS = 0.5
"""How long a server that stops waits for it."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SweepStats:
    """What a server's sweeps have done since it began."""

    sweeps: int = 0
    """Passes over all sessions that were brought to their end."""
    sessions: int = 0
    """Sessions that were looked at."""
    checkpoints: int = 0
    """Checkpoints that were deleted by policy."""
    bytes: int = 0
    """Bytes that they had, in the terms of SessionSummary.stored_bytes."""
    cleared: int = 0
    """Sessions, expired or deleted, whose checkpoints were removed."""
    forgotten: int = 0
    """Rows of sessions that were removed."""
    failures: int = 0
    """Sweeps that were interrupted."""


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """When a sweep begins, and how it makes way for others. Times in seconds."""

    every: float
    batch: int
    """Sessions that are looked at in one go."""
    pause: float
    """After each go, and between two transactions that delete."""


class Sweeper:
    """Sweeps, as long as this server is elected."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        pruner: Pruner,
        settings: SweepSettings,
        is_busy: Callable[[], bool] = lambda: False,
        damage: DamageLog | None = None,
        merger: Merger | None = None,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._pruner = pruner
        self._merger = merger
        self._merged_until = 0
        """By the database's clock, in ns: sessions that have not changed since need not be merged again."""
        self._settings = settings
        self._is_busy = is_busy
        self._damage = damage or DamageLog()
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.stats = SweepStats()

    async def run(self) -> None:
        """Sweep again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.every)
            try:
                await self.sweep()
            except Failure as failure:
                self.stats.failures += 1
                log.warning("sweep_interrupted", reason=str(failure))
            except Exception:
                self.stats.failures += 1
                log.error("sweep_failed", exc_info=True)

    async def sweep(self) -> bool:
        """Go through all sessions, from where the last sweep ended. Gives whether it came to the end, elected."""
        began = 0
        while (position := await self._acquire_leadership()) is not None:
            found = await sessions_after(self._store, position, self._settings.batch)
            if found and not position:
                began = found[0].read_at
            for session in found:
                await self._sweep_past_damage(session)
            done = len(found) < self._settings.batch
            await self._move(b"" if done else found[-1].key)
            if done:
                self.stats.sweeps += 1
                self._merged_until = max(self._merged_until, began - COMMIT_NS)
                return True
            await self._pause()
        return False

    async def resign(self) -> None:
        """Leave the office to others at once, if the database answers at once; else its term runs out."""
        with suppress(Failure, TimeoutError):
            async with asyncio.timeout(RETIRE_SECONDS):
                await self._store.transaction(lambda repository: resign(repository, ROLE, self._holder))

    async def _sweep_past_damage(self, session: SweptSession) -> None:
        """Sweep a session; one that is damaged is left as it is, and does not stop the others."""
        self.stats.sessions += 1
        if session.damaged:
            self._damage.note(session.key, "sweep", "the row of the session fails its checksum")
            return
        try:
            await self._sweep(session)
        except Failure as failure:
            if failure.reason is not Reason.DATA_LOSS:
                raise
            self._damage.note(session.key, "sweep", failure.message)

    async def _sweep(self, session: SweptSession) -> None:
        name = (session.tenant, session.session_id)
        if session.over or not session.checkpoint_count:
            self.stats.cleared += await self._sessions.clear_if_needed(*name)
            self.stats.forgotten += await self._sessions.forget_if_possible(*name)
        elif session.checkpoint_count > 1 and self._policy(session):
            pruned = await self._pruner.prune(*name, None, dry_run=False, pause=self._pause)
            self.stats.checkpoints += pruned.checkpoints
            self.stats.bytes += pruned.bytes
        if self._merger is not None and self._is_to_merge(session, self._merger):
            await self._merger.merge_session(*name, self._pause)

    def _is_to_merge(self, session: SweptSession, merger: Merger) -> bool:
        changed_at = session.revision * NS_PER_MICROSECOND
        is_large = session.stored_bytes >= merger.settings.row_bytes // 2
        return is_large and not session.over and changed_at >= self._merged_until

    def _policy(self, session: SweptSession) -> Retention:
        return session.retention if session.retention is not None else self._pruner.retention

    async def _acquire_leadership(self) -> bytes | None:
        lease = LEASE_SECONDS * NS_PER_SECOND
        return await self._store.transaction(
            lambda repository: acquire_leadership(repository, ROLE, self._holder, lease)
        )

    async def _move(self, position: bytes) -> None:
        await self._store.transaction(lambda repository: put_position(repository, ROLE, self._holder, position))

    async def _pause(self) -> None:
        await make_way(self._settings.pause, self._is_busy)


@asynccontextmanager
async def sweeping(sweeper: Sweeper | None) -> AsyncIterator[None]:
    """Sweep in the background. None: do not."""
    if sweeper is None:
        yield
        return
    task = asyncio.create_task(sweeper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await sweeper.resign()
