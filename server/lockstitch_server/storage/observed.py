"""A store that is watched from outside: each use of the database by a span and a duration."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from lockstitch_server.core.parts import RowSizes
from lockstitch_server.core.records import Basis, SessionChange
from lockstitch_server.storage.reading import Reader
from lockstitch_server.storage.store import Connections, KeepUnit, ReadUnit, Store, WriteUnit

T = TypeVar("T")


class Use(Protocol):
    """One use of a database that is going on."""

    is_told: bool
    """Whether what it stores is told: to add that up takes its time."""
    stored: int
    """How many bytes of records, logs and pending writes it has brought there."""


class StoreObserver(Protocol):
    """Watches uses of a database."""

    def using(self, operation: str, sessions: int = 0) -> AbstractContextManager[Use]:
        """Watch one: read, write, commit, keep, look. sessions: how many it changes, where that is known before."""
        ...


class ObservedStore:
    """The same store, watched."""

    def __init__(self, store: Store, observer: StoreObserver) -> None:
        self._store = store
        self._observer = observer

    @property
    def row_sizes(self) -> RowSizes:
        return self._store.row_sizes

    @property
    def readers(self) -> int:
        return self._store.readers

    @property
    def connections(self) -> Connections | None:
        return self._store.connections

    async def open(self) -> str | None:
        return await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def ping(self) -> None:
        await self._store.ping()

    async def try_write(self, free_bytes: int) -> None:
        await self._store.try_write(free_bytes)

    async def read(self, unit: ReadUnit[T]) -> T:
        with self._observer.using("read"):
            return await self._store.read(unit)

    async def ask(self, unit: ReadUnit[T]) -> T:
        with self._observer.using("read"):
            return await self._store.ask(unit)

    def clock(self) -> int:
        return self._store.clock()

    async def commit(self, basis: Sequence[Basis], changes: Sequence[SessionChange], now: int) -> bool:
        with self._observer.using("commit", len(changes)) as use:
            done = await self._store.commit(basis, changes, now)
            if done and use.is_told:
                use.stored = written_bytes(changes)
        return done

    async def write(self, unit: WriteUnit[T]) -> T:
        kept: list[Sequence[SessionChange]] = []
        with self._observer.using("write") as use:
            result = await self._store.write(_noting(unit, kept))
            if use.is_told:
                use.stored = written_bytes(kept[-1])
        return result

    async def keep(self, unit: KeepUnit[T], *, snapshot: bool = False) -> T:
        with self._observer.using("keep"):
            return await self._store.keep(unit, snapshot=snapshot)

    async def look(self, unit: KeepUnit[T]) -> T:
        with self._observer.using("look"):
            return await self._store.look(unit)


def _noting(unit: WriteUnit[T], kept: list[Sequence[SessionChange]]) -> WriteUnit[T]:
    """The same unit; what it changes is kept. It may run more than once, and only its last changes count."""

    async def noting(reader: Reader) -> tuple[Sequence[SessionChange], T]:
        changes, result = await unit(reader)
        kept.append(changes)
        return changes, result

    return noting


def written_bytes(changes: Sequence[SessionChange]) -> int:
    """How many bytes changes bring to the database, without what it adds to them."""
    size = 0
    for change in changes:
        for checkpoint in change.checkpoints.values():
            size += len(checkpoint.row.record)
        for _, segment in change.tails:
            size += len(segment.data)
        for rows in (change.segments, change.seals, change.writes):
            for row in rows:
                size += len(row.data)
    return size
