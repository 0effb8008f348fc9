"""Reads from a distributed database: statements about sessions go to one bucket each, lists to all nodes at once."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from lockstitch_server.core.format.parts import Segment, Tail
from lockstitch_server.core.format.reading import Found, LogName, NamespaceName, SessionName
from lockstitch_server.core.format.rows import (
    CheckpointRef,
    CheckpointRow,
    LogRef,
    Seek,
    SessionRow,
    WriteRow,
    WriteSize,
)
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.buckets import bucket_of
from lockstitch_server.storage.postgres.catalog import DISTRIBUTED_DIALECT, Lists, PostgresCatalog
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.commit_marks import BucketMark
from lockstitch_server.storage.postgres.statements import DISTRIBUTED_SQL

K = TypeVar("K")
V = TypeVar("V")


def by_bucket(items: Iterable[K], key_of: Callable[[K], bytes]) -> Iterator[tuple[int, list[K]]]:
    """Items by the buckets of their sessions, in the order of buckets, which is that of keys."""
    found: defaultdict[int, list[K]] = defaultdict(list)
    for item in items:
        found[bucket_of(key_of(item))].append(item)
    return iter(sorted(found.items()))


class DistributedCatalog(Lists):
    """Reads over one connection, within its transaction. mark: of a transaction that writes."""

    _dialect = DISTRIBUTED_DIALECT
    _statements = DISTRIBUTED_SQL

    def __init__(
        self,
        connection: AnyConnection,
        *,
        lock: bool,
        clock: DatabaseClock | None = None,
        mark: BucketMark | None = None,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._clock = clock
        self._mark = mark
        self.now = 0

    async def sessions(self, keys: Sequence[bytes]) -> Mapping[bytes, SessionRow]:
        found: dict[bytes, SessionRow] = {}
        for bucket, some in by_bucket(keys, lambda key: key):
            catalog = await self._at(bucket)
            found.update(await catalog.sessions(some))
            self.now = max(self.now, catalog.now)
        return found

    async def checkpoints(self, seeks: Sequence[Seek]) -> Mapping[Seek, CheckpointRow]:
        return await self._merged(PostgresCatalog.checkpoints, seeks)

    async def find(self, seeks: Sequence[Seek]) -> Mapping[Seek, Found]:
        return await self._merged(PostgresCatalog.find, seeks)

    async def segments_as_of(
        self, logs: Sequence[LogRef], revisions: Mapping[bytes, int]
    ) -> Mapping[LogRef, Sequence[Segment]]:
        async def ask(catalog: PostgresCatalog, some: Sequence[LogRef]) -> Mapping[LogRef, Sequence[Segment]]:
            return await catalog.segments_as_of(some, {ref.key: revisions[ref.key] for ref in some})

        return await self._merged(ask, logs)

    async def tails(self, logs: Sequence[LogName]) -> Mapping[LogName, Tail]:
        return await self._merged(PostgresCatalog.tails, logs)

    async def segments(self, logs: Sequence[LogRef]) -> Mapping[LogRef, Sequence[Segment]]:
        return await self._merged(PostgresCatalog.segments, logs)

    async def write_sizes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteSize]]:
        return await self._merged(PostgresCatalog.write_sizes, checkpoints)

    async def writes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteRow]]:
        return await self._merged(PostgresCatalog.writes, checkpoints)

    async def greatest_written(self, namespaces: Sequence[NamespaceName]) -> Mapping[NamespaceName, str]:
        return await self._merged(PostgresCatalog.greatest_written, namespaces)

    async def misplaced(self, sessions: Sequence[SessionName]) -> Collection[bytes]:
        sql = DISTRIBUTED_SQL["get_misplaced"]
        return {session[0] for session in sessions if await self._connection.fetch(sql, *session)}

    async def checkpoint_names(self, key: bytes) -> Sequence[tuple[str, str]]:
        return await (await self._at(bucket_of(key))).checkpoint_names(key)

    async def checkpoint_counts(self, keys: Sequence[bytes]) -> Mapping[bytes, int]:
        found: dict[bytes, int] = {}
        for bucket, some in by_bucket(keys, lambda key: key):
            found.update(await (await self._at(bucket)).checkpoint_counts(some))
        return found

    async def ancestors(self, start: CheckpointRef, limit: int) -> Sequence[CheckpointRow]:
        return await (await self._at(bucket_of(start.key))).ancestors(start, limit)

    async def _merged(
        self, ask: Callable[[PostgresCatalog, list[K]], Awaitable[Mapping[K, V]]], names: Sequence[K]
    ) -> dict[K, V]:
        """What a method of `PostgresCatalog` gives, bucket by bucket. names: begin with the key of a session."""
        found: dict[K, V] = {}
        for bucket, some in by_bucket(names, _key_of):
            found.update(await ask(await self._at(bucket), some))
        return found

    async def _at(self, bucket: int) -> PostgresCatalog:
        if self._mark is not None:
            await self._mark.put(bucket)
        return PostgresCatalog(self._connection, lock=self._lock, clock=self._clock, bucket=bucket)


def _key_of(name: object) -> bytes:
    key: bytes = name[0]  # type: ignore[index]  # all names are tuples
    return key
