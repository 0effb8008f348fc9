"""A store in plain dictionaries, for the planner alone. It holds what a database would: rows, and nothing decoded."""

import random
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lockstitch_server.core.format.compression import unpack_row
from lockstitch_server.core.format.parts import Segment, Tail
from lockstitch_server.core.format.pending_writes import messages_of, sizes_of
from lockstitch_server.core.format.rows import (
    CheckpointRow,
    ExpectedVersion,
    LogRef,
    NewRow,
    Seek,
    SessionChange,
    SessionRow,
    WriteRow,
)
from lockstitch_server.core.planning.facts import Missing, ReadFacts, SessionFacts

T = TypeVar("T")


@dataclass
class DictionaryStore:
    """Rows by their names."""

    now: int
    """The database's clock, in ns."""
    sessions: dict[bytes, SessionRow] = field(default_factory=dict)
    leases: dict[bytes, tuple[int, str]] = field(default_factory=dict)
    """(token, holder)."""
    checkpoints: dict[tuple[bytes, str, str], CheckpointRow] = field(default_factory=dict)
    logs: dict[tuple[bytes, int], dict[int, NewRow]] = field(default_factory=dict)
    """By (key, log), then by where a row starts."""
    writes: dict[tuple[object, ...], WriteRow] = field(default_factory=dict)

    def copy(self) -> "DictionaryStore":
        """One that can be changed without changing this."""
        return deepcopy(self)

    # Reading

    def session(self, key: bytes) -> SessionRow | None:
        """A session as a transaction reads it."""
        row = self.sessions.get(key)
        if row is None:
            return None
        token, holder = self.leases.get(key, (0, ""))
        return replace(row, lease=token, lease_holder=holder, read_at=self.now)

    def found(self, missing: Missing) -> ReadFacts:
        """The answers to all that is missing."""
        return ReadFacts(
            {seek: row for seek in missing.checkpoints if (row := self._sought(seek)) is not None},
            {name: found for name in missing.greatest_written if (found := self._greatest_written(*name))},
            {name: tail for name in missing.tails if (tail := self._tail(*name)) is not None},
            {ref: self.segments(ref) for ref in missing.segments},
            {
                ref: [
                    size
                    for row in self.writes_of(ref)
                    for size in sizes_of(row.task_id, row.task_index, row.data, len(row.data), row.crc)
                ]
                for ref in missing.write_sizes
            },
            {ref: messages_of(self.writes_of(ref)) for ref in missing.writes},
        )

    def segments(self, ref: LogRef) -> list[Segment]:
        """The rows that hold the first bytes of a log."""
        rows = sorted(self.logs.get((ref.key, ref.log), {}).values(), key=lambda row: row.start)
        return [Segment(row.start, unpack_row(row.data, row.size), row.crc) for row in rows if row.start < ref.length]

    def _sought(self, seek: Seek) -> CheckpointRow | None:
        ids = [name for key, space, name in self.checkpoints if (key, space) == (seek.key, seek.namespace)]
        wanted = seek.checkpoint_id
        if seek.how == "at" or (seek.how == "upto" and wanted in ids):
            found = [name for name in ids if name == wanted]
        else:
            found = [name for name in ids if wanted is None or name.encode() < wanted.encode()]
        if not found:
            return None
        # As from a database: a row of its own, of which nothing is decoded.
        row = self.checkpoints[seek.key, seek.namespace, max(found, key=str.encode)]
        return replace(row, _decoded=None, _parsed=None)

    def _greatest_written(self, key: bytes, namespace: str) -> str:
        ids = [row.checkpoint_id for row in self.writes.values() if (row.key, row.namespace) == (key, namespace)]
        return max(ids, key=str.encode, default="")

    def _tail(self, key: bytes, log: int) -> Tail | None:
        rows = self.logs.get((key, log))
        if not rows:
            return None
        row = rows[max(rows)]
        return Tail(row.start, row.size, row.crc)

    def writes_of(self, name: Sequence[object]) -> list[WriteRow]:
        found = [row for row in self.writes.values() if row[:3] == tuple(name)]
        return sorted(found, key=lambda row: (row.task_path.encode(), row.task_id.encode(), row.task_index))

    # Writing

    def holds(self, expected: Iterable[ExpectedVersion]) -> bool:
        """Whether all sessions are there in these versions, and have not expired."""
        for version in expected:
            row = self.session(version.key)
            if row is None or (row.revision, row.expire_at, row.lease) != version[1:] or row.expired(self.now):
                return False
        return True

    def apply(self, changes: Iterable[SessionChange]) -> None:
        """Write changes, which must fit what is there."""
        for change in changes:
            key = change.row.key
            if change.wipe:
                self._wipe(key)
            assert (key not in self.sessions) == change.is_new
            self.sessions[key] = replace(change.row, lease=0, lease_holder="", read_at=0)
            for name, checkpoint in change.checkpoints.items():
                assert ((key, *name) not in self.checkpoints) == checkpoint.is_new
                self.checkpoints[key, *name] = checkpoint.row
            self._put_rows(change)
            for write in change.writes:
                self.writes[write[:5]] = write

    def _put_rows(self, change: SessionChange) -> None:
        key = change.row.key
        for log, start, size in change.ends:
            rows = self.logs[key, log]
            assert (max(rows), rows[start].size) == (start, size)
        for log, (start, data, crc) in change.tails:
            row = self.logs[key, log][start]
            self.logs[key, log][start] = NewRow(log, start, row.size + len(data), row.data + data, crc)
        for row in change.seals:
            assert self.logs[key, row.log][row.start].size < row.size
            self.logs[key, row.log][row.start] = row
        for row in change.segments:
            rows = self.logs.setdefault((key, row.log), {})
            assert row.start == max((other.start + other.size for other in rows.values()), default=0)
            rows[row.start] = row

    def _wipe(self, key: bytes) -> None:
        self.checkpoints = {name: row for name, row in self.checkpoints.items() if name[0] != key}
        self.logs = {name: rows for name, rows in self.logs.items() if name[0] != key}
        self.writes = {name: row for name, row in self.writes.items() if name[0] != key}

    # Comparing

    def content(self) -> object:
        """All rows, with those of logs unpacked."""
        logs = {
            name: [(row.start, unpack_row(row.data, row.size), row.crc) for row in rows.values()]
            for name, rows in self.logs.items()
        }
        return self.sessions, self.checkpoints, logs, self.writes

    def stored_bytes(self, key: bytes) -> tuple[int, int]:
        """How many bytes the rows of a session have: all, and those of pending writes."""
        records = sum(len(row.record) for name, row in self.checkpoints.items() if name[0] == key)
        rows = sum(row.size for name, log in self.logs.items() if name[0] == key for row in log.values())
        writes = sum(len(row.data) for name, row in self.writes.items() if name[0] == key)
        return records + rows + writes, writes


def some_of(missing: Missing, rng: random.Random) -> Missing:
    """A part of what is missing, which is not empty."""

    def some(names: dict[T, None]) -> dict[T, None]:
        return {name: None for name in names if rng.random() < 0.4}

    while True:
        part = Missing(
            missing.sessions,
            some(missing.checkpoints),
            some(missing.greatest_written),
            some(missing.tails),
            some(missing.segments),
            some(missing.write_sizes),
            some(missing.writes),
        )
        if part:
            return part


def locked(store: DictionaryStore, keys: Iterable[bytes]) -> dict[bytes, SessionFacts]:
    """The rows of sessions, and nothing else."""
    return {key: SessionFacts(store.session(key)) for key in keys}
