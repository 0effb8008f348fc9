"""A store that is watched from outside: each use of the database by a span and a duration."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from lockstitch_server.core.format.parts import RowSizes
from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Connections, PointUnit, SessionUnit, Store

T = TypeVar("T")


class Use(Protocol):
    """One use of a database that is going on."""

    is_told: bool
    """Whether the observer wants `stored`: adding it up takes time."""
    stored: int
    """How many bytes of records, logs and pending writes it has brought there."""


class StoreObserver(Protocol):
    """Watches uses of a database."""

    def using(self, operation: str, sessions: int = 0) -> AbstractContextManager[Use]:
        """Watch one: read, commit, write. sessions: how many it changes, where that is known before."""
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
    def is_distributed(self) -> bool:
        return self._store.is_distributed

    @property
    def writers(self) -> int:
        return self._store.writers

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

    async def snapshot(self, unit: SessionUnit[T]) -> T:
        with self._observer.using("read"):
            return await self._store.snapshot(unit)

    async def point_reads(self, unit: PointUnit[T]) -> T:
        with self._observer.using("read"):
            return await self._store.point_reads(unit)

    def clock(self) -> int:
        return self._store.clock()

    async def apply_if_unchanged(
        self, expected: Sequence[ExpectedVersion], changes: Sequence[SessionChange], now: int
    ) -> bool:
        with self._observer.using("commit", len(changes)) as use:
            done = await self._store.apply_if_unchanged(expected, changes, now)
            if done and use.is_told:
                use.stored = written_bytes(changes)
        return done

    async def transaction(self, unit: SessionUnit[T], *, snapshot: bool = False, by_key: bool = False) -> T:
        done: list[SessionRepository] = []

        async def noting(repository: SessionRepository) -> T:
            done.append(repository)
            return await unit(repository)

        with self._observer.using("write") as use:
            result = await self._store.transaction(noting, snapshot=snapshot, by_key=by_key)
            if use.is_told:  # a unit may run more than once, and only its last changes count
                use.stored = written_bytes(done[-1].applied)
        return result

    async def reclaim_space(self, replaced: int) -> bool:
        return await self._store.reclaim_space(replaced)


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
