"""The changes of a batch to one session, on top of the facts about the session."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import checksum, content
from lockstitch_server.core.format.compression import pack, pack_row
from lockstitch_server.core.format.manifest import ManifestPart, Record, encode
from lockstitch_server.core.format.parts import LISTS, NO_TAIL, RowSizes, Segment, Tail, grow, read_part
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
from lockstitch_server.core.planning.facts import (
    EMPTY,
    NOTHING,
    CheckpointName,
    Known,
    Missing,
    NotKnown,
    SessionFacts,
    Sizes,
    Unread,
    WriteName,
    by_name,
)
from lockstitch_server.core.planning.operations import DraftDelta, Operation, Outcome, Result, Save, Saved, WritesSaved

NOTHING_KNOWN = SessionFacts(None)
"""The facts about a session that is new or begins again."""


class Decision(NamedTuple):
    """The changes of an operation to its session."""

    outcome: Outcome = Outcome.UNCHANGED
    existing: CheckpointRow | None = None
    """The checkpoint with the name of the operation's checkpoint."""
    record: Record | None = None
    """The record to store, in place of the existing one; None: nothing is stored."""
    appended: Mapping[int, bytes] = EMPTY
    """By log: the bytes to append; the end of the log is known. Numbers above the last log are new logs."""
    writes: Sequence[NewWrite] = ()
    """Pending writes to store, in place of those of the same names."""
    extends_expiry: bool = False
    """Whether to extend the expiry of the session although its content does not change."""


class SessionChanges:
    """The session as the batch has changed it so far, and the rows to write.

    `known` and `read` tell what an operation needs to know. If a fact is missing, they add it to `missing` and raise
    NotKnown. `apply` asks nothing and cannot fail, so that an operation that fails leaves nothing behind.
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
        self.is_empty = row is None or row.check().expired(now)
        now -= now % NS_PER_MICROSECOND
        if row is None:
            self.row = SessionRow(operation.key, operation.tenant, operation.session_id, now, now)
            self.expected = ExpectedVersion(operation.key, 0, None)
        else:
            self.row = _restarted(row, now) if self.is_empty else row.copy()
            self.expected = ExpectedVersion(row.key, row.revision, row.expire_at, row.lease)
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
        """Of checkpoints to which the batch adds pending writes."""
        self._new_writes: dict[tuple[CheckpointName, WriteName], NewWrite] = {}
        self._replaced_bytes = 0
        """The bytes of rows that new pending writes replace."""
        self._replaced_crcs: dict[CheckpointName, int] = {}
        """The XOR of their checksums, by checkpoint."""

    # What an operation needs to know

    def known(self, operation: Operation) -> Known:
        """The facts that every operation needs. Raises NotKnown."""
        if self._facts.is_locked and not self.is_empty:
            self._ask_for_all(operation)
        namespace, checkpoint_id = operation.namespace, operation.checkpoint_id
        latest = self._latest_in(namespace)
        existing = None
        if latest is not None and latest.checkpoint_id >= checkpoint_id:
            existing = self._checkpoint(namespace, checkpoint_id)
        base = self._base(operation, latest, existing) if isinstance(operation, Save) else None
        needs_writes = operation.writes or self.row.write_bytes > 0 or self._new_writes
        sizes = self._sizes(namespace, checkpoint_id) if needs_writes else NOTHING
        return Known(self.row, latest, existing, base, sizes, self._facts.tails, self._appended)

    def read(self, operation: Operation, known: Known, unread: Unread) -> Known:
        """The same, with facts that few operations need. Raises NotKnown."""
        if not unread.logs and not unread.parts:
            return known._replace(messages=self._messages((operation.namespace, operation.checkpoint_id)))
        for log in unread.logs:
            self._missing.tails[self.row.key, log] = None
        data, is_unknown = dict(known.data), bool(unread.logs)
        for part in unread.parts:
            try:
                data[part] = self._part_data(part)
            except NotKnown:
                is_unknown = True
        if is_unknown:
            raise NotKnown
        return known._replace(data=data)

    def _base(self, save: Save, latest: CheckpointRow | None, existing: CheckpointRow | None) -> CheckpointRow | None:
        """The base of a delta. The checkpoint that a full save is compared with: its parent, else the one below it,
        else the latest."""
        if isinstance(save.state, DraftDelta):
            return self._checkpoint(save.namespace, save.state.base_id)
        base = self._checkpoint(save.namespace, save.parent_id) if save.parent_id else None
        if base is None and existing is None:
            base = self._below(save.namespace, save.checkpoint_id)
        return base or latest

    def _latest_in(self, namespace: str) -> CheckpointRow | None:
        """The latest checkpoint of a namespace."""
        if namespace in self._latest:
            return self._latest[namespace]
        if self.is_empty:
            self._latest[namespace] = None
            return None
        raise self._unknown_checkpoint(Seek(self.row.key, namespace, "below", None))

    def _checkpoint(self, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """The checkpoint of this name."""
        # Strings compare as their UTF-8 bytes do.
        latest = self._latest_in(namespace)
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

    def _below(self, namespace: str, checkpoint_id: str) -> CheckpointRow | None:
        """The greatest checkpoint below an id."""
        latest = self._latest_in(namespace)
        if latest is None or latest.checkpoint_id < checkpoint_id:
            return latest
        found = [name for space, name in self._checkpoints if space == namespace and name < checkpoint_id]
        if not self.is_empty and (stored := self._stored_below(namespace, checkpoint_id)) is not None:
            found.append(stored)
        return self._checkpoint(namespace, max(found)) if found else None

    def _stored_below(self, namespace: str, checkpoint_id: str) -> str | None:
        latest = self._facts.latest[namespace]
        if latest is None or latest.checkpoint_id < checkpoint_id:
            return latest.checkpoint_id if latest is not None else None
        if (namespace, checkpoint_id) not in self._facts.below:
            raise self._unknown_checkpoint(Seek(self.row.key, namespace, "below", checkpoint_id))
        return self._facts.below[namespace, checkpoint_id]

    def _part_data(self, part: ManifestPart) -> bytes | None:
        """All bytes of a part, checked; None: they are damaged."""
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
        try:
            return read_part(part, segments)
        except Failure as failure:
            if failure.reason is not Reason.DATA_LOSS:
                raise
            return None

    def _sizes(self, namespace: str, checkpoint_id: str) -> Sizes:
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

    def _messages(self, name: CheckpointName) -> Mapping[WriteName, bytes]:
        """Messages of a checkpoint's pending writes."""
        new = {task: write.message for (checkpoint, task), write in self._new_writes.items() if checkpoint == name}
        if self.is_empty:
            return new
        if name not in self._facts.messages:
            self._missing.writes[CheckpointRef(self.row.key, *name)] = None
            raise NotKnown
        return {**self._facts.messages[name], **new}

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

    def _ask_for_all(self, operation: Operation) -> None:
        """Ask for the facts that the operation, and the next save of the session, are likely to need."""
        facts, missing, key, namespace = self._facts, self._missing, self.row.key, operation.namespace
        seeks = list(_seeks(operation))
        missing.checkpoints.update((seek, None) for seek in seeks if not facts.knows(seek))
        if facts.known_writes.greatest_in(namespace) is None:
            missing.greatest_written[key, namespace] = None
        for row in _known_rows(seeks, facts):
            missing.tails.update(((key, log), None) for log in appendable_logs(row) if log not in facts.tails)

    # Changes

    def apply(self, operation: Operation, decision: Decision, now: int) -> Result:
        """Apply a decision. Returns the result of the operation."""
        session, stored, record, ttl = self.row, decision.existing, decision.record, None
        if isinstance(operation, Save):
            ttl = operation.ttl if operation.ttl is not None else session.ttl
        if record is not None or decision.writes:
            self.changed = True
            session.ttl = ttl if ttl is not None else session.ttl
            session.touch(now)
        elif decision.extends_expiry and ttl is not None:
            self.changed = True
            session.ttl, session.expire_at = ttl, now + ttl
        for log, data in decision.appended.items():
            self._append(log, data)
        if record is not None:
            assert isinstance(operation, Save)
            stored = self._put_checkpoint(operation, record, decision)
        for write in decision.writes:
            self._put_write(write)
        if not isinstance(operation, Save):
            return WritesSaved(session.revision, len(decision.writes))
        assert stored is not None
        return Saved(stored.checkpoint_id, stored.revision, decision.outcome, stored.saved_at)

    def _append(self, log: int, data: bytes) -> None:
        """Append bytes to a log. A new log has the next number."""
        before = self._appended.get(log)
        self._appended[log] = before + data if before else data
        row = self.row
        row.stored_bytes += len(data)
        if log > row.last_log:
            row.last_log = log

    def _put_checkpoint(self, save: Save, record: Record, decision: Decision) -> CheckpointRow:
        """Store a checkpoint, in the session's new revision if its content is new."""
        session, old, packed = self.row, decision.existing, pack(encode(record))
        namespace, checkpoint_id = name = (save.namespace, save.checkpoint_id)
        is_same = decision.outcome is Outcome.UNCHANGED and old is not None
        revision = old.revision if is_same and old is not None else session.revision
        row = CheckpointRow(save.key, *name, save.parent_id, save.step, revision, packed)
        row.crc = row.checksum()
        row.remember_parsed(record)
        before = self._checkpoints.get(name)
        is_new = before.is_new if before is not None else old is None
        self._checkpoints[name] = CheckpointChange(row, save.terms, is_new)
        latest = self._latest[namespace]
        if latest is None or latest.checkpoint_id <= checkpoint_id:
            self._latest[namespace] = row
        session.stored_bytes += len(packed)
        if old is None:
            session.checkpoint_count += 1
        else:
            session.stored_bytes -= len(old.record)
        return row

    def _put_write(self, write: NewWrite) -> None:
        """Store a pending write, in place of the one of this name."""
        name, task = (write.namespace, write.checkpoint_id), (write.task_id, write.task_index)
        if name not in self._write_sizes:
            self._write_sizes[name] = dict(self._sizes(*name))
        sizes = self._write_sizes[name]
        if task in sizes and (name, task) not in self._new_writes:
            self._replaced_bytes += sizes[task].stored
            self._replaced_crcs[name] = self._replaced_crcs.get(name, 0) ^ sizes[task].crc
        sizes[task] = WriteSize(*task, len(write.message), 0, 0)
        self._new_writes[name, task] = write

    # The end

    def finish(self, sizes: RowSizes) -> tuple[SessionChange | None, SessionFacts | None]:
        """The rows to write, and the facts about the session after them. No method may be called afterwards."""
        change, grown = None, dict[int, Tail]()
        if self.changed:
            writes = self._rows_of_writes() if self._new_writes else []
            self._note_checkpoints(writes)
            change = SessionChange(
                self.row, self.is_new, self.is_empty and not self.is_new, self._checkpoints, writes=writes
            )
            for log, data in self._appended.items():
                grown[log] = grow_log(change, log, self._tail(log), data, sizes)
        return change, self._facts_then(grown)

    def _rows_of_writes(self) -> list[WriteRow]:
        """The new pending writes as rows. Counts the bytes of the rows."""
        rows = rows_of(self.row.key, self._new_writes.values())
        for row in rows:
            stored = sizes_of(row.task_id, row.task_index, row.data, len(row.data), row.crc)
            self._write_sizes[row.namespace, row.checkpoint_id].update(by_name(stored))
        growth = sum(len(row.data) for row in rows) - self._replaced_bytes
        self.row.write_bytes += growth
        self.row.stored_bytes += growth
        return rows

    def _note_checkpoints(self, writes: Sequence[WriteRow]) -> None:
        """Update `content` of the session's row: the names of checkpoints, and the latest one of each namespace."""
        added = content.writes_checksums(writes) if writes else {}
        row = self.row
        for name, change in self._checkpoints.items():
            if change.is_new:
                row.content = content.with_name(row.content, *name)
        for name in dict.fromkeys((*self._checkpoints, *added)) if added else self._checkpoints:
            namespace, checkpoint_id = name
            latest = self._latest[namespace]
            if latest is None or latest.checkpoint_id != checkpoint_id:
                continue
            known = None if name in self._checkpoints else content.latest_in(row.content, namespace)
            if known is not None and known.checkpoint == latest.crc:
                written = known.writes ^ added[name] ^ self._replaced_crcs.get(name, 0)
            else:
                sizes = self._sizes(namespace, checkpoint_id) if row.write_bytes > 0 else NOTHING
                written = content.xor_of(write.crc for write in sizes.values()) if sizes else 0
            row.content = content.with_latest(row.content, namespace, content.Latest(latest.crc, written))

    def _facts_then(self, grown: Mapping[int, Tail]) -> SessionFacts | None:
        """The facts that the next save is likely to need, for the cache; None: they are not known."""
        facts, latest = self._facts, self._latest
        if not latest or (self.is_empty and not self.changed):
            return None
        tails, known = dict[int, Tail](), {**facts.tails, **grown} if grown else facts.tails
        for row in latest.values():
            record = row.parsed() if row is not None else None
            for part in record.manifest.parts if record is not None and record.manifest is not None else ():
                if part.log in known and part.kind in LISTS:
                    tails[part.log] = known[part.log]
        written = facts.known_writes
        if facts.write_sizes or self._write_sizes:
            written = written.and_sizes({**facts.write_sizes, **self._write_sizes})
        return SessionFacts(self.row, False, latest, tails, written)


def appendable_logs(row: CheckpointRow) -> list[int]:
    """The logs of a checkpoint that a later save may append to; none if the checkpoint is damaged."""
    record = row.parsed()
    if record is None or record.manifest is None:
        return []
    return [part.log for part in record.manifest.parts if part.log and part.kind in LISTS]


def _seeks(operation: Operation) -> Iterator[Seek]:
    key, namespace = operation.key, operation.namespace
    # The latest checkpoint answers most questions of this batch and of the batches to come.
    yield Seek(key, namespace, "below", None)
    yield Seek(key, namespace, "upto", operation.checkpoint_id)
    if not isinstance(operation, Save):
        return
    if isinstance(operation.state, DraftDelta):
        yield Seek(key, namespace, "at", operation.state.base_id)
    elif operation.parent_id:
        yield Seek(key, namespace, "at", operation.parent_id)


def _known_rows(seeks: Iterable[Seek], facts: SessionFacts) -> Iterator[CheckpointRow]:
    for seek in seeks:
        if seek.checkpoint_id is None:
            row = facts.latest.get(seek.namespace)
        else:
            row = facts.checkpoint((seek.namespace, seek.checkpoint_id))
            if row is None and (below := facts.below.get((seek.namespace, seek.checkpoint_id))) is not None:
                row = facts.checkpoint((seek.namespace, below))
        if row is not None:
            yield row


def grow_log(change: SessionChange, log: int, tail: Tail, data: bytes, sizes: RowSizes) -> Tail:
    """Add to a change the rows of a log after an append. Returns the last row."""
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
