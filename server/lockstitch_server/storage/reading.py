"""Reads within one transaction, alike on every backend."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from lockstitch_server.core.format.parts import Segment, Tail
from lockstitch_server.core.format.reading import (
    CheckpointQuery,
    Found,
    ListedCheckpoint,
    LogName,
    NamespaceName,
    SessionName,
    SessionQuery,
    Totals,
)
from lockstitch_server.core.format.rows import (
    CheckpointRef,
    CheckpointRow,
    LogRef,
    Seek,
    SessionRow,
    SessionSummary,
    WriteRow,
    WriteSize,
)


class Reader(Protocol):
    """Reads within one transaction. What is not there is missing from an answer."""

    @property
    def now(self) -> int:
        """The database's time in ns when `sessions` was last asked, with the locks in hand; 0: it was not."""
        ...

    async def sessions(self, keys: Sequence[bytes]) -> Mapping[bytes, SessionRow]:
        """Sessions by key; in a writing transaction they stay locked until its end."""
        ...

    async def checkpoints(self, seeks: Sequence[Seek]) -> Mapping[Seek, CheckpointRow]:
        """Checkpoints by what was sought."""
        ...

    async def tails(self, logs: Sequence[LogName]) -> Mapping[LogName, Tail]:
        """The last row of each log."""
        ...

    async def segments(self, logs: Sequence[LogRef]) -> Mapping[LogRef, Sequence[Segment]]:
        """The rows that hold the named beginnings of logs, in order."""
        ...

    async def write_sizes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteSize]]:
        """Which pending writes each checkpoint has."""
        ...

    async def writes(self, checkpoints: Sequence[CheckpointRef]) -> Mapping[CheckpointRef, Sequence[WriteRow]]:
        """The pending writes of each checkpoint, by (task_path, task_id, index)."""
        ...

    async def greatest_written(self, namespaces: Sequence[NamespaceName]) -> Mapping[NamespaceName, str]:
        """The greatest id of a checkpoint with pending writes in each namespace. The checkpoint may not exist yet."""
        ...


class Catalog(Reader, Protocol):
    """Reads that load, list and search."""

    async def find(self, seeks: Sequence[Seek]) -> Mapping[Seek, Found]:
        """Sessions that there are, each with the checkpoint sought in it, and its pending writes if they are small."""
        ...

    async def segments_as_of(
        self, logs: Sequence[LogRef], revisions: Mapping[bytes, int]
    ) -> Mapping[LogRef, Sequence[Segment]]:
        """As `segments`; no rows of logs whose sessions are not in these revisions any more."""
        ...

    async def misplaced(self, sessions: Sequence[SessionName]) -> Collection[bytes]:
        """Keys of those sessions whose names stand under another key, as only damage can put them."""
        ...

    async def checkpoint_names(self, key: bytes) -> Sequence[tuple[str, str]]:
        """Namespaces and ids of all checkpoints of a session."""
        ...

    async def checkpoint_counts(self, keys: Sequence[bytes]) -> Mapping[bytes, int]:
        """How many checkpoints are found under each key. Reads all entries of an index for the key."""
        ...

    async def list_sessions(self, query: SessionQuery) -> Sequence[SessionSummary]:
        """At most `limit` sessions. Some may be there that are not to be shown."""
        ...

    async def list_checkpoints(self, query: CheckpointQuery) -> Sequence[ListedCheckpoint]:
        """At most `limit` checkpoints."""
        ...

    async def count_checkpoints(self, query: CheckpointQuery) -> int:
        """How many match, whatever `limit` and `after` say."""
        ...

    async def totals(self) -> Totals:
        """How much there is of all tenants. Goes over all sessions."""
        ...

    async def ancestors(self, start: CheckpointRef, limit: int) -> Sequence[CheckpointRow]:
        """The chain of parents, nearest first, without `start`; at most `limit`. May go round in a circle."""
        ...
