"""The commit path: one transaction a batch.

Most batches are planned from the cache, without reading; the database applies the plan if the sessions are unchanged.
If a fact is missing, or a session has changed, the batch is planned within a transaction that locks its sessions.
"""

from collections.abc import Sequence

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.planning.facts import Facts, Missing, learn
from lockstitch_server.core.planning.limits import PlanSettings
from lockstitch_server.core.planning.operations import Operation, Result
from lockstitch_server.core.planning.planner import Plan, plan
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.engine.fact_reader import MOST_ROUNDS, Reading, lock_sessions, read_missing
from lockstitch_server.engine.isolation import BatchTooLarge, run_isolated
from lockstitch_server.engine.misplaced import misplaced_session
from lockstitch_server.storage.reading import Reader
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store


class Committer:
    """Makes operations durable, a batch at a time."""

    def __init__(self, store: Store, cache: SessionCache, max_bytes: int, max_parts: int) -> None:
        self._store = store
        self._cache = cache
        self._settings = PlanSettings(store.row_sizes, max_bytes, max_parts)

    async def commit(self, operations: Sequence[Operation]) -> Sequence[Result | Failure]:
        """Commit operations, in their order. On return those that have not failed are durable.

        One batch at a time. Fails with what concerns all operations, such as STORE_UNAVAILABLE.
        """
        return await run_isolated(self._commit, operations)

    async def _commit(self, operations: Sequence[Operation]) -> Sequence[Result | Failure]:
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
        self._cache.update(done.sessions)
        return done.results

    async def _planned_and_applied(self, operations: Sequence[Operation]) -> Plan:
        now = self._store.clock()
        planned = plan(operations, self._cache.facts(operations), self._settings, now)
        if isinstance(planned, Plan) and await self._store.apply_if_unchanged(planned.expected, planned.changes, now):
            return planned
        unusable = planned.sessions if isinstance(planned, Missing) else set[bytes]()

        async def unit(repository: SessionRepository) -> Plan:
            reader = repository.locking
            facts = await lock_sessions(operations, reader, self._cache, unusable)
            done = await self._plan_locked(operations, facts, reader)
            await repository.apply(done.changes)
            return done

        return await self._store.transaction(unit, by_key=True)

    async def _plan_locked(self, operations: Sequence[Operation], facts: Facts, reader: Reader) -> Plan:
        reading = Reading()
        while isinstance(planned := plan(operations, facts, self._settings, reader.now), Missing):
            if planned.sessions:
                raise RuntimeError("the plan asks again for sessions that have been read")
            reading.add(planned)
            if len(operations) > 1 and reading.is_too_much:
                raise BatchTooLarge
            if reading.rounds > MOST_ROUNDS:
                raise RuntimeError("the plan of an operation asks for facts again and again")
            learn(facts, planned, await read_missing(reader, planned))
        return planned
