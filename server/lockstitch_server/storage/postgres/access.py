"""How a plain database is read and written. A distributed one has another: see `distributed_access`."""

from collections.abc import Sequence
from typing import Protocol

from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import Executor
from lockstitch_server.storage.postgres.apply import apply_if_unchanged
from lockstitch_server.storage.postgres.catalog import PostgresCatalog
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.commit_marks import Attempt, begin_marked
from lockstitch_server.storage.postgres.executor import PostgresExecutor
from lockstitch_server.storage.reading import Catalog


class Access(Protocol):
    """What differs between plain and distributed databases."""

    is_distributed: bool

    def catalog(self, connection: AnyConnection) -> Catalog:
        """Reads without locks."""
        ...

    def executor(self, connection: AnyConnection, clock: DatabaseClock) -> Executor:
        """For a transaction that only reads."""
        ...

    async def begin(self, connection: AnyConnection, how: str, attempt: Attempt, clock: DatabaseClock) -> Executor:
        """Begin a transaction that writes, and mark it. Raises LostRace."""
        ...

    async def apply_if_unchanged(
        self,
        connection: AnyConnection,
        expected: Sequence[ExpectedVersion],
        changes: Sequence[SessionChange],
        now: int,
        attempt: Attempt,
    ) -> tuple[bool, int]:
        """Write changes and the mark of the attempt, if sessions are as expected.

        Gives whether they were, and the database's time. Distributed databases need a transaction around it.
        """
        ...


class PlainAccess:
    """A database of one primary, which has whole tables."""

    is_distributed = False

    def catalog(self, connection: AnyConnection) -> Catalog:
        return PostgresCatalog(connection, lock=False)

    def executor(self, connection: AnyConnection, clock: DatabaseClock) -> Executor:
        return PostgresExecutor(connection, clock)

    async def begin(self, connection: AnyConnection, how: str, attempt: Attempt, clock: DatabaseClock) -> Executor:
        await begin_marked(connection, how, attempt)
        return PostgresExecutor(connection, clock)

    async def apply_if_unchanged(
        self,
        connection: AnyConnection,
        expected: Sequence[ExpectedVersion],
        changes: Sequence[SessionChange],
        now: int,
        attempt: Attempt,
    ) -> tuple[bool, int]:
        attempt.is_marked = True
        return await apply_if_unchanged(connection, expected, changes, now, attempt.writer, attempt.number)
