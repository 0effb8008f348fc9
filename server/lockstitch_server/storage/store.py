"""The narrow waist between the engine and a database."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from lockstitch_server.core.parts import RowSizes
from lockstitch_server.core.records import Basis, SessionChange
from lockstitch_server.storage.keeper import Keeper
from lockstitch_server.storage.reading import Catalog, Reader

T = TypeVar("T")

ReadUnit = Callable[[Catalog], Awaitable[T]]
WriteUnit = Callable[[Reader], Awaitable[tuple[Sequence[SessionChange], T]]]
KeepUnit = Callable[[Keeper], Awaitable[T]]


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
        """See whether the database takes writes, by one that is rolled back; alike. SQLite: and has so much room.

        Fails with STORE_FULL, STORE_READ_ONLY, STORE_UNAVAILABLE.
        """
        ...

    async def read(self, unit: ReadUnit[T]) -> T:
        """Run a unit on one snapshot of the database."""
        ...

    async def ask(self, unit: ReadUnit[T]) -> T:
        """Run a unit whose questions may each be answered as of a moment of its own, which takes fewer trips.

        It asks for nothing but rows whose keys it names.
        """
        ...

    def clock(self) -> int:
        """The database's time in ns, known without asking it: behind by milliseconds, or wrong, as `commit` finds."""
        ...

    async def commit(self, basis: Sequence[Basis], changes: Sequence[SessionChange], now: int) -> bool:
        """Apply changes, all or none, durable on return, if the sessions of `basis` exist and are as it says.

        Gives whether they were, have not expired, and `now`, which the changes were planned for, is about the
        database's time. The changes must be about these sessions, and wipe none.
        """
        ...

    async def write(self, unit: WriteUnit[T]) -> T:
        """Run a unit and apply its changes, all or none, durable on return. Sessions that it reads stay locked."""
        ...

    async def keep(self, unit: KeepUnit[T], *, snapshot: bool = False) -> T:
        """Run a unit that changes whole sessions, all or nothing, durable on return.

        snapshot: whether all of it must see the database as it was at one moment, as what it locks does otherwise.
        """
        ...

    async def look(self, unit: KeepUnit[T]) -> T:
        """Run a unit that changes nothing, on one snapshot of the database."""
        ...
