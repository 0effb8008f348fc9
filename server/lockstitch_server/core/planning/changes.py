"""What a batch changes in one session, over the facts that are known of the session."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lockstitch_server.core.format import checksum, content
from lockstitch_server.core.format.compression import pack_row
from lockstitch_server.core.format.known_writes import NOTHING, CheckpointName, Sizes, WriteName, by_name
from lockstitch_server.core.format.manifest import ManifestPart
from lockstitch_server.core.format.parts import NO_TAIL, RowSizes, Segment, Tail, grow, read_part
from lockstitch_server.core.format.pending_writes import rows_of, sizes_of
from lockstitch_server.core.format.rows import (
    NS_PER_MICROSECOND,
    CheckpointChange,
    CheckpointRef,
    CheckpointRow,
    ExpectedVersion,
    LogRef,
    NewRow,
    NewWrite,
    Seek,
    SessionChange,
    SessionRow,
    WriteRow,
    WriteSize,
)
from lockstitch_server.core.planning.facts import Missing, NotKnown, SessionFacts, appendable_logs, ask_for_all
from lockstitch_server.core.planning.operations import Operation

NOTHING_KNOWN = SessionFacts(None)
"""Of sessions that are new, or begin again."""


class SessionChanges:
    """Answers questions about the session as the batch has it so far, and collects what is to be written.

    A question whose answer is not known adds to `missing` and raises NotKnown. The methods that change the session ask
    nothing and cannot fail, so that an operation that fails leaves nothing behind.
    """

    __slots__ = (
        "_appended",
        "_checkpoints",
        "_facts",
        "_first_log",
        "_latest",
        "_missing",
        "_new_writes",
        "_replaced_bytes",
        "_replaced_crcs",
        "_write_sizes",
        "changed",
        "expected",
        "is_empty",
        "is_new",
        "row",
    )

    def __init__(self, facts: SessionFacts, operation: Operation, missing: Missing, now: int) -> None:
        """operation: the first of the session, which names a new one. Fails with DATA_LOSS."""
        row = facts.row
        self.is_new = row is None
        if row is None:
            now -= now % NS_PER_MICROSECOND
            self.row = SessionRow(operation.key, operation.tenant, operation.session_id, now, now)
            self.is_empty = True
        elif row.check().expired(now):
            self.row = _restarted(row, now - now % NS_PER_MICROSECOND)
            self.is_empty = True
        else:
            self.row = row.copy()
            self.is_empty = False
        self.expected = ExpectedVersion(operation.key, 0, None) if row is None else _expected(row)
        self.changed = False
        self._facts = NOTHING_KNOWN if self.is_empty else facts
        self._missing = missing
        self._first_log = self.row.last_log + 1
        self._latest = dict(self._facts.latest)
        """By namespace, after the batch so far."""
        self._checkpoints: dict[CheckpointName, CheckpointChange] = {}
        self._appended: dict[int, bytes] = {}
        """By log: what the batch appends."""
        self._write_sizes: dict[CheckpointName, dict[WriteName, WriteSize]] = {}
        """Of checkpoints that get pending writes."""
        self._new_writes: dict[tuple[CheckpointName, WriteName], NewWrite] = {}
        self._replaced_bytes = 0
        """Of rows that new pending writes replace."""
        self._replaced_crcs: dict[CheckpointName, int] = {}
        """The XOR of their checksums, by checkpoint."""

    # Questions

    def ask_for_all(self, operation: Operation) -> None:
        """Ask for what an operation is likely to need, unless the facts come from the cache."""
        if self._facts.is_locked and not self.is_empty:
            ask_for_all(operation, self._facts, self._missing)

    def latest(self, namespace: str) -> CheckpointRow | None:
        """The latest checkpoint of a namespace."""
        if namespace in self._latest:
            return self._latest[namespace]
        if self.is_empty:
            self._latest[namespace] = None
            return None
        raise self._unknown_checkpoint(Seek(self.row.key, namespace, "below", None))

    def checkpoint(self, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """The checkpoint of this name."""
        # Strings compare as their UTF-8 bytes do.
        latest = self.latest(namespace)
        if latest is None or latest.checkpoint_id < checkpoint_id:
            return None
        if latest.checkpoint_id == checkpoint_id:
            return latest
        name = (namespace, checkpoint_id)
        change = self._checkpoints.get(name)
        if change is not None:
            return change.row
        if self.is_empty:
            return None
        row = self._facts.checkpoint(name)
        if row is None and not self._facts.knows(seek := Seek(self.row.key, namespace, "at", checkpoint_id)):
            raise self._unknown_checkpoint(seek)
        return row

    def below(self, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """The greatest checkpoint below an id."""
        latest = self.latest(namespace)
        if latest is None or latest.checkpoint_id < checkpoint_id:
            return latest
        found = [name for space, name in self._checkpoints if space == namespace and name < checkpoint_id]
        if not self.is_empty and (stored := self._stored_below(namespace, checkpoint_id)) is not None:
            found.append(stored)
        return self.checkpoint(namespace, max(found)) if found else None

    def _stored_below(self, namespace: str, checkpoint_id: str) -> str | None:
        latest = self._facts.latest[namespace]
        if latest is None or latest.checkpoint_id < checkpoint_id:
            return latest.checkpoint_id if latest is not None else None
        if (namespace, checkpoint_id) not in self._facts.below:
            raise self._unknown_checkpoint(Seek(self.row.key, namespace, "below", checkpoint_id))
        return self._facts.below[namespace, checkpoint_id]

    def end_of(self, log: int) -> int:
        """How many bytes a log has after the batch so far."""
        return self._tail(log).end + len(self._appended.get(log, b""))

    def part_data(self, part: ManifestPart) -> bytes:
        """All bytes of a part, checked. Fails with DATA_LOSS."""
        if not part.log:
            return part.inline
        tail, segments = self._tail(part.log), list[Segment]()
        if tail.end:
            stored = min(part.length, tail.end)
            rows = self._facts.segments.get((part.log, stored))
            if rows is None:
                self._missing.segments[LogRef(self.row.key, part.log, stored)] = None
                raise NotKnown
            segments.extend(rows)
        if appended := self._appended.get(part.log, b""):
            segments.append(Segment(tail.end, appended, checksum.crc(appended)))
        return read_part(part, segments)

    @property
    def has_writes(self) -> bool:
        """Whether the session has any pending writes."""
        return self.row.write_bytes > 0 or bool(self._new_writes)

    def write_sizes(self, namespace: str, checkpoint_id: str) -> Sizes:
        """Sizes of a checkpoint's pending writes."""
        name = (namespace, checkpoint_id)
        if name in self._write_sizes:
            return self._write_sizes[name]
        if self.is_empty:
            return NOTHING
        sizes = self._facts.known_writes.of(namespace, checkpoint_id)
        if sizes is None:
            sizes = self._facts.write_sizes.get(name)
        if sizes is None:
            self._missing.write_sizes[CheckpointRef(self.row.key, *name)] = None
            raise NotKnown
        return sizes

    def intact_write_sizes(self, namespace: str, checkpoint_id: str) -> Sizes:
        """The same, where a damaged pending write counts as the bytes of its row: its own size may be damaged too."""
        sizes, name = self.write_sizes(namespace, checkpoint_id), (namespace, checkpoint_id)
        messages = self._messages(name) if sizes else {}
        return {
            task: write if task in messages or (name, task) in self._new_writes else write._replace(size=write.stored)
            for task, write in sizes.items()
        }

    def holds_write(self, write: NewWrite) -> bool:
        """Whether exactly this pending write is there."""
        name, task = (write.namespace, write.checkpoint_id), (write.task_id, write.task_index)
        if (name, task) in self._new_writes:
            return self._new_writes[name, task] == write
        return self._messages(name).get(task) == write.message

    def _messages(self, name: CheckpointName) -> Mapping[WriteName, bytes]:
        if self.is_empty:
            return {}
        if name not in self._facts.messages:
            self._missing.writes[CheckpointRef(self.row.key, *name)] = None
            raise NotKnown
        return self._facts.messages[name]

    def _tail(self, log: int) -> Tail:
        tail = self._facts.tails.get(log)
        if tail is None:
            if log < self._first_log and not self.is_empty:
                self._missing.tails[self.row.key, log] = None
                raise NotKnown
            tail = NO_TAIL
        return tail

    def _unknown_checkpoint(self, seek: Seek) -> NotKnown:
        self._missing.checkpoints[seek] = None
        return NotKnown()

    # Changes

    def touch(self, now: int) -> int:
        """Begin a change of the session. Returns its new revision."""
        self.changed = True
        return self.row.touch(now)

    def extend_expiry(self, ttl: int | None, now: int) -> None:
        """Move the expiry of a session whose content stays as it is."""
        ttl = ttl if ttl is not None else self.row.ttl
        if ttl is not None:
            self.changed = True
            self.row.ttl, self.row.expire_at = ttl, now + ttl

    def append(self, log: int, data: bytes) -> None:
        """Add bytes to the end of a log whose tail is known, or of a new log: the next number."""
        before = self._appended.get(log)
        self._appended[log] = before + data if before else data
        row = self.row
        row.stored_bytes += len(data)
        if log > row.last_log:
            row.last_log = log

    def put_checkpoint(self, row: CheckpointRow, terms: tuple[int, ...], old: CheckpointRow | None) -> None:
        """Store a checkpoint, in place of the `old` one of this name. The latest checkpoint must be known."""
        namespace, checkpoint_id = name = (row.namespace, row.checkpoint_id)
        before = self._checkpoints.get(name)
        self._checkpoints[name] = CheckpointChange(row, terms, before.is_new if before is not None else old is None)
        latest = self._latest[namespace]
        if latest is None or latest.checkpoint_id <= checkpoint_id:
            self._latest[namespace] = row
        session = self.row
        session.stored_bytes += len(row.record)
        if old is None:
            session.checkpoint_count += 1
            session.content = content.with_name(session.content, namespace, checkpoint_id)
        else:
            session.stored_bytes -= len(old.record)

    def put_write(self, write: NewWrite) -> None:
        """Store a pending write, in place of the one of this name. The sizes of its checkpoint must be known."""
        name, task = (write.namespace, write.checkpoint_id), (write.task_id, write.task_index)
        if name not in self._write_sizes:
            self._write_sizes[name] = dict(self.write_sizes(*name))
        sizes = self._write_sizes[name]
        if task in sizes and (name, task) not in self._new_writes:
            self._replaced_bytes += sizes[task].stored
            self._replaced_crcs[name] = self._replaced_crcs.get(name, 0) ^ sizes[task].crc
        sizes[task] = WriteSize(*task, len(write.message), 0, 0)
        self._new_writes[name, task] = write

    # The end

    def finish(self, sizes: RowSizes) -> tuple[SessionChange | None, SessionFacts | None]:
        """All that is to be written, and what will be known of the session then. Nothing can be asked afterwards."""
        change, grown = None, dict[int, Tail]()
        if self.changed:
            writes = self._rows_of_writes() if self._new_writes else []
            self._note_latest(writes)
            change = SessionChange(
                self.row, self.is_new, self.is_empty and not self.is_new, self._checkpoints, writes=writes
            )
            for log, data in self._appended.items():
                grown[log] = grow_log(change, log, self._tail(log), data, sizes)
        return change, self._facts_then(grown)

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
        """Note in the session's row what the latest checkpoints of namespaces are now, and their pending writes."""
        added = content.writes_checksums(writes) if writes else {}
        row = self.row
        for name in dict.fromkeys((*self._checkpoints, *added)) if added else self._checkpoints:
            namespace, checkpoint_id = name
            latest = self._latest[namespace]
            if latest is None or latest.checkpoint_id != checkpoint_id:
                continue
            known = None if name in self._checkpoints else content.latest_in(row.content, namespace)
            if known is not None and known.checkpoint == latest.crc:
                written = known.writes ^ added[name] ^ self._replaced_crcs.get(name, 0)
            else:
                sizes = self.write_sizes(namespace, checkpoint_id)
                written = content.xor_of(write.crc for write in sizes.values()) if sizes else 0
            row.content = content.with_latest(row.content, namespace, content.Latest(latest.crc, written))

    def _facts_then(self, grown: Mapping[int, Tail]) -> SessionFacts | None:
        """What the next save is likely to need, for the cache; None where that is not known."""
        facts, latest = self._facts, self._latest
        if not latest or (self.is_empty and not self.changed):
            return None
        tails, known = dict[int, Tail](), {**facts.tails, **grown} if grown else facts.tails
        for row in latest.values():
            if row is not None:
                for log in appendable_logs(row):
                    if log in known:
                        tails[log] = known[log]
        written = facts.known_writes
        if facts.write_sizes or self._write_sizes:
            written = written.and_sizes({**facts.write_sizes, **self._write_sizes})
        return SessionFacts(self.row, False, latest, tails, written)


def grow_log(change: SessionChange, log: int, tail: Tail, data: bytes, sizes: RowSizes) -> Tail:
    """Add to a change what appending to a log does to its rows. Returns the last row then."""
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


def _expected(row: SessionRow) -> ExpectedVersion:
    return ExpectedVersion(row.key, row.revision, row.expire_at, row.lease)


def _restarted(row: SessionRow, now: int) -> SessionRow:
    """An expired session that begins again: its revision and log numbers go on."""
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
