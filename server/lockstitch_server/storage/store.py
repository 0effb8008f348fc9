"""The narrow waist between the engine and a database."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from lockstitch_server.core.parts import RowSizes
from lockstitch_server.core.reading import Catalog, Reader
from lockstitch_server.core.records import SessionChange

T = TypeVar("T")

ReadUnit = Callable[[Catalog], Awaitable[T]]
WriteUnit = Callable[[Reader], Awaitable[tuple[Sequence[SessionChange], T]]]


class StoreError(Exception):
    """A store cannot be opened. The message is for operators."""


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

    async def open(self) -> None:
        """Connect, and see that the schema fits. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let running units finish and disconnect."""
        ...

    async def ping(self) -> None:
        """Ask the database for an answer. Fails with STORE_UNAVAILABLE."""
        ...

    async def read(self, unit: ReadUnit[T]) -> T:
        """Run a unit on one snapshot of the database."""
        ...

    async def write(self, unit: WriteUnit[T]) -> T:
        """Run a unit and apply its changes, all or none, durable on return. Sessions that it reads stay locked."""
        ...
