"""How a distributed database is read and written."""

from collections.abc import Sequence

from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import Executor
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.commit_marks import Attempt, BucketMark
from lockstitch_server.storage.postgres.distributed_apply import check, put
from lockstitch_server.storage.postgres.distributed_catalog import DistributedCatalog, by_bucket
from lockstitch_server.storage.postgres.distributed_executor import DistributedExecutor
from lockstitch_server.storage.postgres.statements import DISTRIBUTED_SQL
from lockstitch_server.storage.reading import Catalog


class DistributedAccess:
    """A database whose tables are spread by buckets."""

    is_distributed = True

    def catalog(self, connection: AnyConnection) -> Catalog:
        return DistributedCatalog(connection, lock=False)

    def executor(self, connection: AnyConnection, clock: DatabaseClock) -> Executor:
        return DistributedExecutor(connection, clock)

    async def begin(self, connection: AnyConnection, how: str, attempt: Attempt, clock: DatabaseClock) -> Executor:
        await connection.execute(how)
        return DistributedExecutor(connection, clock, BucketMark(connection, attempt))

    async def apply_if_unchanged(
        self,
        connection: AnyConnection,
        expected: Sequence[ExpectedVersion],
        changes: Sequence[SessionChange],
        now: int,
        attempt: Attempt,
    ) -> tuple[bool, int]:
        """As for a plain database. All sessions are of one bucket."""
        if not expected:
            return True, await connection.fetchval(DISTRIBUTED_SQL["get_clock"])
        ((bucket, own),) = by_bucket(expected, lambda session: session.key)
        mark = BucketMark(connection, attempt)
        holds, clock = await check(connection, bucket, own, changes, now)
        if holds:
            await mark.put(bucket)
            await put(connection, bucket, changes)
        return holds, clock
