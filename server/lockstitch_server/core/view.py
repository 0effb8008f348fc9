"""A session as a transaction sees it: what the store holds, overlaid with what the batch has changed so far."""

from dataclasses import replace

from lockstitch_server.core import checksum
from lockstitch_server.core.parts import LISTS, NO_TAIL, RowSizes, Segment, Tail, grow, part_size, read_part
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import (
    NS_PER_MICROSECOND,
    CheckpointChange,
    CheckpointRef,
    CheckpointRow,
    LogRef,
    Seek,
    SessionChange,
    SessionRow,
    WriteRow,
)
from lockstitch_server.records.v1.record_pb2 import Manifest, Part

CheckpointName = tuple[str, str]
"""(namespace, checkpoint_id)."""
WriteName = tuple[str, int]
"""(task_id, index)."""


class SessionView:
    """Answers from memory where it can, else from the store; collects what is to be written.

    Reading may fail at any point; the methods that change the view neither read nor fail, so that an operation that
    fails leaves nothing behind.
    """

    def __init__(self, reader: Reader, row: SessionRow, *, is_new: bool, wipe: bool) -> None:
        self._reader = reader
        self._is_new = is_new
        self._wipe = wipe
        self.empty = is_new or wipe
        self.row = row
        self.changed = False
        self._rows: dict[CheckpointName, CheckpointRow | None] = {}
        self._below: dict[tuple[str, str | None], str | None] = {}
        self._changes: dict[CheckpointName, CheckpointChange] = {}
        self._tails: dict[int, Tail] = {}
        self._pending: dict[int, bytearray] = {}
        self._write_sizes: dict[CheckpointName, dict[WriteName, int]] = {}
        self._writes: dict[CheckpointName, frozenset[WriteRow]] = {}
        self._new_writes: dict[tuple[CheckpointName, WriteName], WriteRow] = {}

    # Reading

    def remember(self, seek: Seek, row: CheckpointRow | None) -> None:
        """Take an answer that the store gave before it was needed."""
        if row is not None:
            self._rows.setdefault((row.namespace, row.checkpoint_id), row)
        found = row.checkpoint_id if row is not None else None
        if seek.checkpoint_id is not None and seek.how != "below" and found != seek.checkpoint_id:
            self._rows.setdefault((seek.namespace, seek.checkpoint_id), None)
        if seek.how == "below" or (seek.how == "upto" and found != seek.checkpoint_id):
            self._below[seek.namespace, seek.checkpoint_id] = found

    def remember_tail(self, log: int, tail: Tail) -> None:
        """Take a tail that the store gave before it was needed."""
        self._tails.setdefault(log, tail)

    async def checkpoint(self, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """The checkpoint of this name."""
        name = (namespace, checkpoint_id)
        if name not in self._rows:
            await self._seek(Seek(self.row.key, namespace, "at", checkpoint_id))
        return self._rows[name]

    async def below(self, namespace: str, checkpoint_id: str | None) -> CheckpointRow | None:
        """The greatest checkpoint below an id; with None, the latest."""
        if (namespace, checkpoint_id) not in self._below:
            await self._seek(Seek(self.row.key, namespace, "below", checkpoint_id))
        stored = self._below[namespace, checkpoint_id]
        found = [stored] if stored is not None else []
        found.extend(
            other
            for space, other in self._changes
            if space == namespace and (checkpoint_id is None or other.encode() < checkpoint_id.encode())
        )
        if not found:
            return None
        return await self.checkpoint(namespace, max(found, key=str.encode))

    async def end_of(self, log: int) -> int:
        """How many bytes a log has, as it will be after this transaction."""
        tail = await self._tail(log)
        return tail.end + len(self._pending.get(log, b""))

    async def part_data(self, part: Part) -> bytes:
        """All bytes of a part, checked. Fails with DATA_LOSS."""
        if not part.log:
            return part.inline
        tail, segments = await self._tail(part.log), list[Segment]()
        if tail.end:
            ref = LogRef(self.row.key, part.log, part.length)
            segments.extend((await self._reader.segments([ref])).get(ref, ()))
        if pending := bytes(self._pending.get(part.log, b"")):
            segments.append(Segment(tail.end, pending, checksum.crc(pending)))
        return read_part(part, segments)

    async def write_sizes(self, namespace: str, checkpoint_id: str) -> dict[WriteName, int]:
        """Sizes of a checkpoint's pending writes."""
        name = (namespace, checkpoint_id)
        if name not in self._write_sizes:
            ref = CheckpointRef(self.row.key, *name)
            empty = self.empty or not self.row.write_bytes
            stored = {} if empty else await self._reader.write_sizes([ref])
            self._write_sizes[name] = {(task, index): size for task, index, size in stored.get(ref, ())}
        return self._write_sizes[name]

    async def holds_write(self, write: WriteRow) -> bool:
        """Whether exactly this pending write is there."""
        name, task = (write.namespace, write.checkpoint_id), (write.task_id, write.task_index)
        if (name, task) in self._new_writes:
            return self._new_writes[name, task] == write
        if name not in self._writes:
            ref = CheckpointRef(self.row.key, *name)
            stored = {} if self.empty else await self._reader.writes([ref])
            self._writes[name] = frozenset(stored.get(ref, ()))
        return write in self._writes[name]

    async def _tail(self, log: int) -> Tail:
        if log not in self._tails:
            found = await self._reader.tails([(self.row.key, log)])
            self._tails[log] = found.get((self.row.key, log), NO_TAIL)
        return self._tails[log]

    async def _seek(self, seek: Seek) -> None:
        found = {} if self.empty else await self._reader.checkpoints([seek])
        self.remember(seek, found.get(seek))

    # Changing

    def touch(self, now: int) -> int:
        """Begin a change of the session. Returns its new revision."""
        self.changed = True
        # By the clock, so that a revision never comes again, not even in a store that was emptied or put back: there a
        # client's delta could otherwise meet another base under the revision that it knows.
        self.row.revision = max(self.row.revision + 1, now // NS_PER_MICROSECOND)
        self.row.updated_at = self.row.revision * NS_PER_MICROSECOND
        if self.row.ttl is not None:
            self.row.expire_at = self.row.updated_at + self.row.ttl
        return self.row.revision

    def slide(self, ttl: int | None, now: int) -> None:
        """Move the expiry of a session whose content stays as it is."""
        ttl = ttl if ttl is not None else self.row.ttl
        if ttl is not None:
            self.changed = True
            self.row.ttl, self.row.expire_at = ttl, now + ttl

    def new_log(self, data: bytes) -> int:
        """Begin a log with these bytes. Returns its number."""
        self.row.last_log += 1
        self._tails[self.row.last_log] = NO_TAIL
        self.append(self.row.last_log, data)
        return self.row.last_log

    def append(self, log: int, data: bytes) -> None:
        """Add bytes to the end of a log whose tail is known."""
        self._pending.setdefault(log, bytearray()).extend(data)
        self.row.stored_bytes += len(data)

    def put_checkpoint(self, row: CheckpointRow, terms: tuple[int, ...]) -> None:
        """Store a checkpoint, in place of the one of this name if there is one."""
        name = (row.namespace, row.checkpoint_id)
        old = self._rows[name]
        before = self._changes.get(name)
        is_new = before.is_new if before else old is None
        self._rows[name] = row
        self._changes[name] = CheckpointChange(row, terms, is_new)
        self.row.checkpoint_count += old is None
        self.row.stored_bytes += len(row.record) - (len(old.record) if old else 0)

    def put_write(self, row: WriteRow) -> None:
        """Store a pending write, in place of the one of this name if there is one."""
        name, write = (row.namespace, row.checkpoint_id), (row.task_id, row.task_index)
        growth = len(row.data) - self._write_sizes[name].get(write, 0)
        self._write_sizes[name][write] = len(row.data)
        self._new_writes[name, write] = row
        self.row.write_bytes += growth
        self.row.stored_bytes += growth

    def change(self, sizes: RowSizes) -> SessionChange:
        """All that is to be written."""
        change = SessionChange(
            self.row, self._is_new, self._wipe, self._changes, writes=list(self._new_writes.values())
        )
        for log, pending in self._pending.items():
            tail, rows = grow(self._tails[log], bytes(pending), sizes)
            if tail is not None:
                change.tails.append((log, tail))
            change.segments.extend((log, row) for row in rows)
        return change


def appendable(manifest: Manifest) -> list[Part]:
    """The parts of a manifest that a later save may append to."""
    return [part for part in manifest.parts if part.log and part.kind in LISTS]


def state_size(manifest: Manifest) -> int:
    """How many bytes the state of a manifest has."""
    shells = (manifest.shell, manifest.messages, manifest.extra, manifest.errors)
    parts = sum(part_size(part) + len(part.key) + len(part.shell) for part in manifest.parts)
    return sum(map(len, shells)) + parts


def fresh_session(row: SessionRow, now: int) -> SessionRow:
    """An expired session begun anew: its revision and log numbers go on."""
    return replace(
        row, created_at=now, updated_at=now, checkpoint_count=0, stored_bytes=0, write_bytes=0, ttl=None, expire_at=None
    )
