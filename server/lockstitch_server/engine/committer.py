"""The commit path: one transaction a batch."""

import time
from collections.abc import Sequence

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.operations import Operation, Result
from lockstitch_server.core.plan import PlanSettings, plan_batch
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import SessionChange
from lockstitch_server.engine.batcher import Batcher, Bounds
from lockstitch_server.storage.store import Store


class Committer:
    """Makes operations durable: what has queued while the last transaction ran goes into the next one."""

    def __init__(self, store: Store, bounds: Bounds, max_bytes: int, max_parts: int) -> None:
        self._store = store
        self._settings = PlanSettings(store.row_sizes, max_bytes, max_parts)
        self._batcher: Batcher[Operation, Result] = Batcher(self._commit, _size, bounds)

    async def submit(self, operation: Operation) -> Result:
        """Commit an operation. On return it is durable. Fails with what stands against it."""
        return await self._batcher.submit(operation)

    async def close(self) -> None:
        """Take no more, and commit all that was taken."""
        await self._batcher.close()

    async def _commit(self, operations: Sequence[Operation]) -> Sequence[Result | Failure]:
        async def unit(reader: Reader) -> tuple[Sequence[SessionChange], Sequence[Result | Failure]]:
            plan = await plan_batch(operations, reader, self._settings, time.time_ns())
            return plan.changes, plan.results

        return await self._store.write(unit)


def _size(operation: Operation) -> int:
    return operation.size
