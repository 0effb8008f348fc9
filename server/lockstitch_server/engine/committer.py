"""The commit path: one transaction a batch. On a distributed database, a batch is of one bucket.

Most batches are planned from the cache, without reading; the database applies the plan if the sessions are unchanged.
If a fact is missing, or a session has changed, the batch is planned within a transaction that locks its sessions.

A save that begins an expired or deleted session again deletes the content that is left. If that is much, the save is
held until the content is cleared: see `held_saves.py`.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.pending_writes import messages_of
from lockstitch_server.core.format.rows import SessionChange, SessionRow
from lockstitch_server.core.planning.facts import Facts, Missing, ReadFacts, SessionFacts, learn
from lockstitch_server.core.planning.operations import Operation, PlanSettings, Result
from lockstitch_server.core.planning.planner import Plan, plan
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.engine.batches import BatchTooLarge, run_batch
from lockstitch_server.engine.held_saves import HeldSaves, Results
from lockstitch_server.engine.misplaced import misplaced_session
from lockstitch_server.storage.reading import Reader
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

MOST_ROUNDS = 16
"""Rounds of reading and planning for one batch. An operation alone needs fewer."""
MOST_LOG_BYTES = 64 * 1024 * 1024
"""Bytes of logs that are read for one batch, and kept until it is planned."""
MOST_CHECKPOINTS = 64
"""Checkpoints whose pending writes are read for one batch, and kept until it is planned."""
MOST_HELD_BYTES = 64 * 1024 * 1024
"""Bytes of operations that are held until their sessions are cleared; or twice those of the largest message."""


class Committer:
    """Makes operations durable, a batch at a time."""

    def __init__(
        self,
        store: Store,
        cache: SessionCache,
        max_bytes: int,
        max_parts: int,
        on_commit: Callable[[Sequence[SessionChange]], None] = lambda _: None,
    ) -> None:
        """on_commit: gets the changes of each batch that was committed."""
        self._store = store
        self._on_commit = on_commit
        self._cache = cache
        self._settings = PlanSettings(store.row_sizes, max_bytes, max_parts)
        self._slots = asyncio.Semaphore(store.writers) if store.is_distributed else None
        self._turn = asyncio.Lock()
        self._held = HeldSaves(store, self._commit_batch, self._turn, max(MOST_HELD_BYTES, 2 * max_bytes))

    async def commit(self, operations: Sequence[Operation]) -> Results:
        """Commit operations, in their order. On return those that have not failed, and are not held, are durable.

        One batch at a time; first come, first served. Fails with what concerns all operations, such as
        STORE_UNAVAILABLE.
        """
        async with self._turn:
            return await self._commit_batch(operations)

    async def _commit_batch(self, operations: Sequence[Operation]) -> Results:
        return await run_batch(self._commit, operations, self._slots)

    async def _commit(self, operations: Sequence[Operation]) -> Results:
        """Commit operations, except those whose sessions are being cleared."""
        ready = [operation for operation in operations if operation.key not in self._held]
        done = await self._commit_ready(ready) if ready else ()
        if done is None:
            return await self._commit(operations)
        results = iter(done)
        return [self._held.hold(each) if each.key in self._held else next(results) for each in operations]

    async def _commit_ready(self, operations: Sequence[Operation]) -> Sequence[Result | Failure] | None:
        """None: nothing is committed, because some of the sessions must be cleared first, which has begun."""
        try:
            done = await self._planned_and_applied(operations)
        except Exception as error:
            if not isinstance(error, Failure) or error.reason is Reason.DATA_LOSS:
                # What fails with the cache, which damage in the database can make wrong, may succeed without it.
                for operation in operations:
                    self._cache.drop(operation.key)
            if damaged := await misplaced_session(self._store, operations, error):
                raise damaged from error
            raise
        if not isinstance(done, Plan):
            for operation in {operation.key: operation for operation in operations if operation.key in done}.values():
                self._held.begin(operation)
            return None
        self._cache.update(done.sessions)
        self._on_commit(done.changes)
        return done.results

    async def _planned_and_applied(self, operations: Sequence[Operation]) -> Plan | Collection[bytes]:
        """Plan and apply. Or the keys of sessions that must be cleared first: then nothing is applied."""
        now = self._store.clock()
        planned = plan(operations, self._cache.facts(operations, now), self._settings, now)
        if isinstance(planned, Plan) and await self._store.apply_if_unchanged(planned.expected, planned.changes, now):
            return planned
        unusable = planned.sessions if isinstance(planned, Missing) else set[bytes]()

        async def unit(repository: SessionRepository) -> Plan | Collection[bytes]:
            facts = await self._lock_sessions(operations, repository.locking, unusable)
            done = await self._plan_locked(operations, facts, repository.locking)
            wiped = [change.row.key for change in done.changes if change.wipe]
            if large := [key for key in wiped if await repository.leaves_much(key)]:
                return large
            await repository.apply(done.changes)
            return done

        return await self._store.transaction(unit, by_key=True)

    async def _lock_sessions(
        self, operations: Sequence[Operation], reader: Reader, unusable: Collection[bytes]
    ) -> dict[bytes, SessionFacts]:
        """Lock the sessions of a batch and read their rows. Adds cached facts of sessions that have not changed.

        unusable: keys of sessions whose facts in the cache must not be used.
        """
        keys = sorted({operation.key for operation in operations})
        rows = await reader.sessions(keys)
        facts = {}
        for key in keys:
            row, cached = rows.get(key), self._cache.get(key)
            if row is None or cached is None or key in unusable or not _is_same(row, cached.row):
                facts[key] = SessionFacts(row)
            else:
                facts[key] = cached.under_lock(row)
        return facts

    async def _plan_locked(self, operations: Sequence[Operation], facts: Facts, reader: Reader) -> Plan:
        """Plan, read what is missing, and plan again, until nothing is missing."""
        rounds = log_bytes = checkpoints = 0
        while isinstance(planned := plan(operations, facts, self._settings, reader.now), Missing):
            if planned.sessions:
                raise RuntimeError("the plan asks for sessions that have been read already")
            rounds += 1
            log_bytes += sum(ref.length for ref in planned.segments)
            checkpoints += len(planned.writes)
            is_too_much = rounds > MOST_ROUNDS or log_bytes > MOST_LOG_BYTES or checkpoints > MOST_CHECKPOINTS
            if is_too_much and len(operations) > 1:
                raise BatchTooLarge
            if rounds > MOST_ROUNDS:
                raise RuntimeError(f"the plan of an operation asks for facts more than {MOST_ROUNDS} times")
            learn(facts, planned, await _read(reader, planned))
        return planned


async def _read(reader: Reader, missing: Missing) -> ReadFacts:
    """Ask the database for facts: a question for each kind of fact, however many sessions the facts are of."""
    writes = await reader.writes([*missing.writes]) if missing.writes else {}
    return ReadFacts(
        await reader.checkpoints([*missing.checkpoints]) if missing.checkpoints else {},
        await reader.greatest_written([*missing.greatest_written]) if missing.greatest_written else {},
        await reader.tails([*missing.tails]) if missing.tails else {},
        await reader.segments([*missing.segments]) if missing.segments else {},
        await reader.write_sizes([*missing.write_sizes]) if missing.write_sizes else {},
        {checkpoint: messages_of(rows) for checkpoint, rows in writes.items()},
    )


def _is_same(row: SessionRow, cached: SessionRow | None) -> bool:
    return (
        not row.damaged and cached is not None and (row.revision, row.expire_at) == (cached.revision, cached.expire_at)
    )
