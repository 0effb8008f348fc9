"""The narrow waist between the engine and a database."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from lockstitch_server.core.format.parts import RowSizes
from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.reading import Catalog
from lockstitch_server.storage.session_repository import SessionRepository

T = TypeVar("T")

PointUnit = Callable[[Catalog], Awaitable[T]]
SessionUnit = Callable[[SessionRepository], Awaitable[T]]


class StoreError(Exception):
    """A store cannot be opened. The message is for operators."""


class Connections(NamedTuple):
    """A pool of connections."""

    used: int
    idle: int
    most: int


class Store(Protocol):
    """A database of checkpoints.

    A unit is an async function that awaits nothing but the reader it is given; it may run more than once, in another
    thread. Failures of the database come out as `Failure` with STORE_UNAVAILABLE; what a unit raises comes out as is.
    """

    @property
    def row_sizes(self) -> RowSizes:
        """How logs are to be cut into rows."""
        ...

    @property
    def readers(self) -> int:
        """How many read units can run at once to advantage."""
        ...

    @property
    def is_distributed(self) -> bool:
        """Whether sessions are spread over several nodes by buckets: then each batch must be of one bucket."""
        ...

    @property
    def writers(self) -> int:
        """How many transactions can write at once to advantage."""
        ...

    @property
    def connections(self) -> Connections | None:
        """Its pool of connections; None where there is none."""
        ...

    async def open(self) -> str | None:
        """Connect, and see that the schema fits. Raises StoreError.

        Gives the version of the schema before it was created or upgraded; None where there was none, or nobody looked.
        """
        ...

    async def close(self) -> None:
        """Let running units finish and disconnect."""
        ...

    async def ping(self) -> None:
        """See whether the database answers and its schema fits, without standing in line. May be cancelled.

        Fails with STORE_UNAVAILABLE, STORE_READ_ONLY, SCHEMA_BEHIND.
        """
        ...

    async def try_write(self, free_bytes: int) -> None:
        """Check by a write that is rolled back that the database takes writes; on SQLite, check free space too.

        Fails with STORE_FULL, STORE_READ_ONLY, STORE_UNAVAILABLE.
        """
        ...

    async def snapshot(self, unit: SessionUnit[T]) -> T:
        """Run a unit that changes nothing, on one snapshot of the database."""
        ...

    async def point_reads(self, unit: PointUnit[T]) -> T:
        """Run a unit whose questions may each be answered as of a moment of its own, which takes fewer round trips.

        It asks for nothing but rows whose keys it names.
        """
        ...

    def clock(self) -> int:
        """The database's time in ns, known without a round trip: behind by milliseconds, or wrong.

        `apply_if_unchanged` finds a wrong time.
        """
        ...

    async def apply_if_unchanged(
        self, expected: Sequence[ExpectedVersion], changes: Sequence[SessionChange], now: int
    ) -> bool:
        """Apply changes, all or none, durable on return, if the sessions are as expected.

        Gives whether they were, have not expired, and `now`, for which the changes were planned, is about the time of
        the database. The changes must be about these sessions, which exist, and wipe none.
        """
        ...

    async def transaction(self, unit: SessionUnit[T], *, snapshot: bool = False, by_key: bool = False) -> T:
        """Run a unit that changes sessions, all or nothing, durable on return.

        snapshot: all of it sees the database as it was at one moment; else what the unit locks is read as it is then.
        by_key: the unit is a save, and asks for nothing but rows whose keys it names, with statements that are planned
            once. Other units never take all connections, so that saves need not wait for them.
        """
        ...

    async def reclaim_space(self, replaced: int) -> bool:
        """Let new rows use the space of rows of logs that were replaced, if that is due.

        replaced: the bytes of logs in these rows, since this last returned true. Returns whether they are dealt with;
        if not, the next call must count them again.
        """
        ...
