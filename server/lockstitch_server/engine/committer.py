"""The commit path: one transaction a batch.

Most batches are planned from what is known of their sessions, without asking the store; it then takes the changes only
if the sessions are still as they were. Where something is not known, or has changed, the batch is planned within the
transaction, with the sessions locked.
"""

from collections.abc import Sequence

import structlog

from lockstitch_server.core.driving import drive
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.heads import Heads
from lockstitch_server.core.lean import plan_lean_ones, with_lean_ones
from lockstitch_server.core.operations import Operation, Result
from lockstitch_server.core.plan import Plan, PlanSettings, plan_batch
from lockstitch_server.core.prefetch import NotKnown, views_from_heads, views_from_store
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import SessionChange
from lockstitch_server.storage.store import Store

log = structlog.get_logger(__name__)


class Committer:
    """Makes operations durable, a batch at a time."""

    def __init__(self, store: Store, heads: Heads, max_bytes: int, max_parts: int) -> None:
        self._store = store
        self._heads = heads
        self._settings = PlanSettings(store.row_sizes, max_bytes, max_parts)

    async def commit(self, operations: Sequence[Operation]) -> Sequence[Result | Failure]:
        """Commit operations; on return they are durable, but for those that fail with what stands against them.

        One batch at a time. Fails where none can be done. One that breaks its batch must not break its neighbours: then
        each is committed alone, still in their order, before the next batch.
        """
        try:
            return await self._commit(operations)
        except Failure as failure:
            if failure.reason is not Reason.DATA_LOSS or len(operations) == 1:
                raise
        except Exception:
            log.warning("batch_failed", items=len(operations), exc_info=True)
        return [await self._commit_alone(operation) for operation in operations]

    async def _commit_alone(self, operation: Operation) -> Result | Failure:
        try:
            return (await self._commit([operation]))[0]
        except Failure as failure:
            return failure
        except Exception:
            log.exception("item_failed")
            return Failure(Reason.INTERNAL, "the server failed to do this")

    async def _commit(self, operations: Sequence[Operation]) -> Sequence[Result | Failure]:
        now = self._store.clock()
        plan = self._plan_from_heads(operations, now)
        if plan is None or not await self._store.commit(plan.basis, plan.changes, now):
            plan = await self._commit_locked_or_forget(operations)
        self._heads.update(plan.heads)
        return plan.results

    async def _commit_locked_or_forget(self, operations: Sequence[Operation]) -> Plan:
        """What does not work with these heads, which damage can belie, may without them."""
        try:
            return await self._commit_locked(operations)
        except Exception:
            for operation in operations:
                self._heads.drop(operation.key)
            raise

    def _plan_from_heads(self, operations: Sequence[Operation], now: int) -> Plan | None:
        lean = plan_lean_ones(operations, self._heads, self._settings, now)
        rest = [operation for operation, done in zip(operations, lean, strict=True) if done is None]
        views = views_from_heads(rest, self._heads, now)
        if views is None:
            return None
        try:
            return with_lean_ones(drive(plan_batch(rest, views, self._settings, now)), lean)
        except NotKnown:
            return None

    async def _commit_locked(self, operations: Sequence[Operation]) -> Plan:
        async def unit(reader: Reader) -> tuple[Sequence[SessionChange], Plan]:
            views = await views_from_store(operations, reader, self._heads)
            plan = await plan_batch(operations, views, self._settings, reader.now)
            return plan.changes, plan

        return await self._store.write(unit)
