"""A session as a transaction sees it: what the store holds, overlaid with what the batch has changed so far."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from lockstitch_server.core import checksum, content
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.packing import pack_row
from lockstitch_server.core.parts import LISTS, NO_TAIL, RowSizes, Segment, Tail, grow, part_size, read_part
from lockstitch_server.core.pending import rows_of, sizes_of, writes_of
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import (
    Basis,
    CheckpointChange,
    CheckpointRef,
    CheckpointRow,
    Head,
    LogRef,
    NewRow,
    NewWrite,
    Seek,
    SessionChange,
    SessionRow,
    WriteRow,
)
from lockstitch_server.core.written import NONE, UNKNOWN, CheckpointName, WriteName, WriteSize, by_name
from lockstitch_server.records.v1.record_pb2 import Manifest, Part


class SessionView:
    """Answers from memory where it can, else from the store; collects what is to be written.

    Reading may fail at any point; the methods that change the view neither read nor fail, so that an operation that
    fails leaves nothing behind.
    """

    def __init__(
        self, reader: Reader, row: SessionRow, *, is_new: bool = False, wipe: bool = False, head: Head | None = None
    ) -> None:
        self._reader = reader
        self._is_new = is_new
        self.wipe = wipe
        self.empty = is_new or wipe
        self.basis = Basis(row.key, 0 if is_new else row.revision, row.expire_at, row.lease)
        self.row = row
        self.changed = False
        self._latest: dict[str, CheckpointRow | None] = dict(head.latest) if head is not None else {}
        """By namespace, with what the batch has changed so far."""
        self._rows: dict[CheckpointName, CheckpointRow | None] = {}
        self._below: dict[CheckpointName, str | None] = {}
        self._changes: dict[CheckpointName, CheckpointChange] = {}
        self._tails: dict[int, Tail] = dict(head.tails) if head is not None else {}
        self._pending: dict[int, bytes] = {}
        self._written = (head.written if head is not None else UNKNOWN) if row.write_bytes > 0 else NONE
        """What was known of pending writes before the batch."""
        self._write_sizes: dict[CheckpointName, dict[WriteName, WriteSize]] = {}
        self._writes: dict[CheckpointName, dict[WriteName, bytes]] = {}
        """Messages of those that are not damaged."""
        self._new_writes: dict[tuple[CheckpointName, WriteName], NewWrite] = {}
        self._replaced_bytes = 0
        """Of rows that new pending writes replace."""
        self._replaced_crcs: dict[CheckpointName, int] = {}
        """The XOR of their checksums."""

    # Reading

    def remember(self, seek: Seek, row: CheckpointRow | None) -> None:
        """Take an answer that the store gave before it was needed."""
        if row is not None:
            self._rows.setdefault((row.namespace, row.checkpoint_id), row)
        if seek.checkpoint_id is None:
            self._latest.setdefault(seek.namespace, row)
            return
        found = row.checkpoint_id if row is not None else None
        if seek.how != "below" and found != seek.checkpoint_id:
            self._rows.setdefault((seek.namespace, seek.checkpoint_id), None)
        if seek.how == "below" or (seek.how == "upto" and found != seek.checkpoint_id):
            self._below[seek.namespace, seek.checkpoint_id] = found

    def knows(self, seek: Seek) -> bool:
        """Whether this can be answered without the store."""
        namespace, checkpoint_id = seek.namespace, seek.checkpoint_id
        if namespace not in self._latest:
            return False
        latest = self._latest[namespace]
        if checkpoint_id is None or latest is None or latest.checkpoint_id < checkpoint_id:
            return True
        return seek.how == "at" and latest.checkpoint_id == checkpoint_id

    def knows_writes_of(self, namespace: str) -> bool:
        """Whether it is known up to which checkpoint of a namespace there are pending writes."""
        return self._written.greatest_in(namespace) is not None

    def remember_written(self, namespace: str, greatest: str) -> None:
        """Take the greatest checkpoint of a namespace that has pending writes; "" for none."""
        self._written = self._written.and_greatest(namespace, greatest)

    def remember_tail(self, log: int, tail: Tail) -> None:
        """Take a tail that the store gave before it was needed."""
        self._tails.setdefault(log, tail)

    async def checkpoint(self, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """The checkpoint of this name."""
        name = (namespace, checkpoint_id)
        if name in self._rows:
            return self._rows[name]
        if self._has_latest(namespace):
            latest = self._latest[namespace]
            if latest is None or latest.checkpoint_id < checkpoint_id:
                return None
            if latest.checkpoint_id == checkpoint_id:
                return latest
        await self._seek(Seek(self.row.key, namespace, "at", checkpoint_id))
        return self._rows[name]

    async def below(self, namespace: str, checkpoint_id: str | None) -> CheckpointRow | None:
        """The greatest checkpoint below an id; with None, the latest."""
        # Strings compare as their UTF-8 bytes do.
        if checkpoint_id is None and not self._has_latest(namespace):
            await self._seek(Seek(self.row.key, namespace, "below", None))
        if self._has_latest(namespace):
            latest = self._latest[namespace]
            if checkpoint_id is None or latest is None or latest.checkpoint_id < checkpoint_id:
                return latest
        assert checkpoint_id is not None
        if (namespace, checkpoint_id) not in self._below:
            await self._seek(Seek(self.row.key, namespace, "below", checkpoint_id))
        stored = self._below[namespace, checkpoint_id]
        found = [stored] if stored is not None else []
        found.extend(other for space, other in self._changes if space == namespace and other < checkpoint_id)
        return await self.checkpoint(namespace, max(found)) if found else None

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
        if pending := self._pending.get(part.log, b""):
            segments.append(Segment(tail.end, pending, checksum.crc(pending)))
        return read_part(part, segments)

    @property
    def has_writes(self) -> bool:
        """Whether the session has any pending writes."""
        return self.row.write_bytes > 0 or bool(self._new_writes)

    async def write_sizes(self, namespace: str, checkpoint_id: str) -> Mapping[WriteName, WriteSize]:
        """Sizes of a checkpoint's pending writes."""
        name = (namespace, checkpoint_id)
        if name not in self._write_sizes and (known := self._written.of(*name)) is not None:
            self._write_sizes[name] = dict(known)
        if name not in self._write_sizes:
            ref = CheckpointRef(self.row.key, *name)
            stored = await self._reader.write_sizes([ref]) if self.has_writes and not self.empty else {}
            self._write_sizes[name] = by_name(stored.get(ref, ()))
        return self._write_sizes[name]

    async def holds_write(self, write: NewWrite) -> bool:
        """Whether exactly this pending write is there."""
        name, task = (write.namespace, write.checkpoint_id), (write.task_id, write.task_index)
        if (name, task) in self._new_writes:
            return self._new_writes[name, task] == write
        return (await self._messages(name)).get(task) == write.message

    async def check_write_sizes(self, namespace: str, checkpoint_id: str) -> None:
        """Count pending writes that are damaged as what they take: the sizes in them may be damaged too."""
        name = (namespace, checkpoint_id)
        sizes = self._write_sizes[name]
        messages = await self._messages(name)
        for task, write in sizes.items():
            if task not in messages and (name, task) not in self._new_writes:
                sizes[task] = write._replace(size=write.stored)

    async def _messages(self, name: CheckpointName) -> Mapping[WriteName, bytes]:
        if name not in self._writes:
            ref = CheckpointRef(self.row.key, *name)
            stored = {} if self.empty else await self._reader.writes([ref])
            self._writes[name] = dict(_whole(stored.get(ref, ())))
        return self._writes[name]

    def _has_latest(self, namespace: str) -> bool:
        if self.empty:
            self._latest.setdefault(namespace, None)
        return namespace in self._latest

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
        return self.row.touch(now)

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
        before = self._pending.get(log)
        self._pending[log] = before + data if before else data
        self.row.stored_bytes += len(data)

    def put_checkpoint(self, row: CheckpointRow, terms: tuple[int, ...], old: CheckpointRow | None) -> None:
        """Store a checkpoint, in place of the `old` one of this name if there is one."""
        namespace, checkpoint_id = name = (row.namespace, row.checkpoint_id)
        before = self._changes.get(name)
        is_new = before.is_new if before else old is None
        self._rows[name] = row
        self._changes[name] = CheckpointChange(row, terms, is_new)
        if namespace in self._latest:
            latest = self._latest[namespace]
            if latest is None or latest.checkpoint_id <= checkpoint_id:
                self._latest[namespace] = row
        if old is None:
            self.row.checkpoint_count += 1
            self.row.content = content.with_name(self.row.content, *name)
        self.row.stored_bytes += len(row.record) - (len(old.record) if old else 0)

    def put_write(self, write: NewWrite) -> None:
        """Store a pending write, in place of the one of this name if there is one."""
        name, task = (write.namespace, write.checkpoint_id), (write.task_id, write.task_index)
        sizes = self._write_sizes[name]
        if task in sizes and (name, task) not in self._new_writes:
            self._replaced_bytes += sizes[task].stored
            self._replaced_crcs[name] = self._replaced_crcs.get(name, 0) ^ sizes[task].crc
        sizes[task] = WriteSize(*task, len(write.message), 0, 0)
        self._new_writes[name, task] = write

    def change(self, sizes: RowSizes) -> SessionChange:
        """All that is to be written."""
        writes = self._rows_of_writes()
        self._note_latest(writes)
        change = SessionChange(self.row, self._is_new, self.wipe, self._changes, writes=writes)
        for log, pending in self._pending.items():
            self._tails[log] = grow_log(change, log, self._tails[log], pending, sizes)
        self._pending.clear()
        return change

    def _rows_of_writes(self) -> list[WriteRow]:
        """The new pending writes as rows, whose sizes are known only now."""
        rows = rows_of(self.row.key, self._new_writes.values())
        for row in rows:
            stored = sizes_of(row.task_id, row.task_index, row.data, len(row.data), row.crc)
            self._write_sizes[row.namespace, row.checkpoint_id].update(by_name(stored))
        growth = sum(len(row.data) for row in rows) - self._replaced_bytes
        self.row.write_bytes += growth
        self.row.stored_bytes += growth
        return rows

    def _note_latest(self, writes: Sequence[WriteRow]) -> None:
        """Note in the session's row what the latest checkpoints of namespaces are now."""
        added = content.writes_checksums(writes)
        for namespace, checkpoint_id in dict.fromkeys((*self._changes, *added)):
            latest = self._latest.get(namespace)
            if latest is None or latest.checkpoint_id != checkpoint_id:
                continue
            name = (namespace, checkpoint_id)
            known = content.latest_in(self.row.content, namespace)
            if name in self._changes or known is None or known.checkpoint != latest.crc:
                written = content.xor_of(write.crc for write in self._write_sizes.get(name, {}).values())
            else:
                written = known.writes ^ added[name] ^ self._replaced_crcs.get(name, 0)
            self.row.content = content.with_latest(self.row.content, namespace, content.Latest(latest.crc, written))

    def head(self) -> Head | None:
        """What the next save is likely to need, after `change`; None where that is not known."""
        if not self._latest or (self.empty and not self.changed):
            return None
        logs = {part.log for row in self._latest.values() if row is not None for part in appendable_in(row)}
        tails = {log: tail for log, tail in self._tails.items() if log in logs}
        return Head(self.row, self._latest, tails, self._written.and_sizes(self._write_sizes))


def grow_log(change: SessionChange, log: int, tail: Tail, data: bytes, sizes: RowSizes) -> Tail:
    """Add to a change what appending to a log does to its rows. Returns the last of them then."""
    growth = grow(tail, data, sizes)
    if growth.tail is not None:
        change.ends.append((log, tail.start, tail.length))
        if (sealed := growth.sealed(tail, sizes)) is not None:
            change.seals.append(_packed(log, sealed, sizes))
        else:
            change.tails.append((log, growth.tail))
    for row in growth.rows:
        change.segments.append(_packed(log, row, sizes))
    return growth.tail_after(tail, sizes)


def _packed(log: int, row: Segment, sizes: RowSizes) -> NewRow:
    start, data, crc = row
    return NewRow(log, start, len(data), pack_row(data) if len(data) >= sizes.full else data, crc)


def _whole(rows: Iterable[WriteRow]) -> Iterator[tuple[WriteName, bytes]]:
    """The messages of pending writes; none of those that are damaged."""
    for row in rows:
        with suppress(Failure):
            yield from (((write.task_id, write.task_index), write.message) for write in writes_of(row))


def appendable_in(row: CheckpointRow) -> list[Part]:
    """The parts of a checkpoint that a later save may append to; none of one that is damaged."""
    try:
        return [part for part in row.decoded().manifest.parts if part.log and part.kind in LISTS]
    except Failure:
        return []


def state_size(manifest: Manifest) -> int:
    """How many bytes the state of a manifest has."""
    return shell_size(manifest) + sum(part_size(part) + len(part.key) + len(part.shell) for part in manifest.parts)


def shell_size(manifest: Manifest) -> int:
    """The same, without the parts."""
    return len(manifest.shell) + len(manifest.messages) + len(manifest.extra) + len(manifest.errors)


def fresh_session(row: SessionRow, now: int) -> SessionRow:
    """An expired session begun anew: its revision and log numbers go on."""
    return replace(
        row,
        created_at=now,
        updated_at=now,
        checkpoint_count=0,
        stored_bytes=0,
        write_bytes=0,
        ttl=None,
        expire_at=None,
        content=content.EMPTY,
    )
