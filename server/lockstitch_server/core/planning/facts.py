"""Facts about the sessions of a batch, and the facts that are missing to plan it.

The planner changes no facts. `learn` adds what was read. What is not in a mapping is not known.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from lockstitch_server.core.format.manifest import ManifestPart
from lockstitch_server.core.format.parts import NO_TAIL, Segment, Tail
from lockstitch_server.core.format.reading import LogName, NamespaceName
from lockstitch_server.core.format.rows import (
    CheckpointRef,
    CheckpointRow,
    LogRef,
    Seek,
    SessionRow,
    WriteSize,
)

EMPTY: Mapping[Any, Any] = MappingProxyType({})

CheckpointName = tuple[str, str]
"""(namespace, checkpoint_id)."""
WriteName = tuple[str, int]
"""(task_id, index)."""
Sizes = Mapping[WriteName, WriteSize]
"""The pending writes of a checkpoint."""


# Pending writes that are known without reading them
#
# Most checkpoints are new, and a new checkpoint has no pending writes. So it is enough to know the greatest id that has
# any, and the pending writes of the few checkpoints above that id.

MOST_WRITES = 256
NOTHING: Sizes = MappingProxyType({})


class KnownWrites(NamedTuple):
    """Which pending writes a session has. Immutable."""

    sizes: Mapping[CheckpointName, Sizes]
    """For some checkpoints: all pending writes of the checkpoint."""
    greatest: Mapping[str, str]
    """By namespace: above this id, only checkpoints in `sizes` have pending writes."""
    only: bool
    """Whether in all other namespaces only checkpoints in `sizes` have pending writes."""

    def of(self, namespace: str, checkpoint_id: str) -> Sizes | None:
        """The pending writes of a checkpoint; None: not known."""
        found = self.sizes.get((namespace, checkpoint_id))
        if found is not None:
            return found
        greatest = self.greatest_in(namespace)
        return NOTHING if greatest is not None and checkpoint_id > greatest else None

    def greatest_in(self, namespace: str) -> str | None:
        """The id above which only checkpoints in `sizes` have pending writes; None: not known."""
        return self.greatest.get(namespace, "" if self.only else None)

    def and_greatest(self, namespace: str, checkpoint_id: str) -> "KnownWrites":
        """This, and the greatest id of a namespace that has pending writes; "": no checkpoint has any."""
        return self._replace(greatest={**self.greatest, namespace: checkpoint_id})

    def and_sizes(self, found: Mapping[CheckpointName, Sizes]) -> "KnownWrites":
        """This, and all pending writes of some checkpoints. Keeps the newest MOST_WRITES; forgets the others."""
        told = {name: sizes for name, sizes in found.items() if sizes}
        if not told:
            return self
        kept = {name: sizes for name, sizes in self.sizes.items() if name not in told} | told
        greatest, count = dict(self.greatest), sum(map(len, kept.values()))
        for name in list(kept):
            if count <= MOST_WRITES:
                break
            count -= len(kept.pop(name))
            self._raise_to(greatest, *name)
        return KnownWrites(kept, greatest, self.only)

    def _raise_to(self, greatest: dict[str, str], namespace: str, checkpoint_id: str) -> None:
        """Note that a checkpoint has pending writes, if anything is known of its namespace."""
        before = greatest.get(namespace, "" if self.only else None)
        if before is not None:
            greatest[namespace] = max(before, checkpoint_id)


def by_name(sizes: Iterable[WriteSize]) -> dict[WriteName, WriteSize]:
    """Pending writes of a checkpoint by (task_id, index)."""
    return {(write.task_id, write.task_index): write for write in sizes}


UNKNOWN = KnownWrites({}, {}, only=False)
NONE = KnownWrites({}, {}, only=True)


# Facts


class NotKnown(Exception):
    """The plan needs a fact that is not known. `Missing` names the fact."""


class Known(NamedTuple):
    """All that is known of a session for one operation: the facts, and what earlier operations of the batch changed."""

    session: SessionRow
    latest: CheckpointRow | None
    existing: CheckpointRow | None
    """The checkpoint that has the name of the operation's."""
    base: CheckpointRow | None
    """The base of a delta; the checkpoint that the parts of a full save are compared with."""
    write_sizes: Sizes
    """The pending writes of the operation's checkpoint."""
    tails: Mapping[int, Tail]
    """The last rows of logs before the batch."""
    appended: Mapping[int, bytes]
    """By log: what the batch appends to it."""
    messages: Mapping[WriteName, bytes] | None = None
    """Messages of these pending writes, without damaged ones; None: not read yet."""
    data: Mapping[ManifestPart, bytes | None] = EMPTY
    """Bytes of parts that have been read; None: they are damaged."""


class Unread(Exception):
    """An operation cannot be decided without facts that few operations need, and that may be large."""

    def __init__(self, logs: Collection[int] = (), parts: Collection[ManifestPart] = ()) -> None:
        """logs: whose last rows are needed. parts: whose bytes are needed. Neither: the messages of pending writes."""
        super().__init__()
        self.logs = logs
        self.parts = parts


@dataclass(slots=True)
class Missing:
    """All facts that a batch needs and that are not known."""

    sessions: set[bytes] = field(default_factory=set)
    """Keys of sessions whose rows must be read under their locks; what the cache says of them cannot be used."""
    checkpoints: dict[Seek, None] = field(default_factory=dict)
    greatest_written: dict[NamespaceName, None] = field(default_factory=dict)
    tails: dict[LogName, None] = field(default_factory=dict)
    segments: dict[LogRef, None] = field(default_factory=dict)
    write_sizes: dict[CheckpointRef, None] = field(default_factory=dict)
    writes: dict[CheckpointRef, None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any fact is missing."""
        return bool(
            self.sessions
            or self.checkpoints
            or self.greatest_written
            or self.tails
            or self.segments
            or self.write_sizes
            or self.writes
        )


class ReadFacts(NamedTuple):
    """What was read of `Missing`, except sessions. What does not exist is missing from a mapping."""

    checkpoints: Mapping[Seek, CheckpointRow] = EMPTY
    greatest_written: Mapping[NamespaceName, str] = EMPTY
    tails: Mapping[LogName, Tail] = EMPTY
    segments: Mapping[LogRef, Sequence[Segment]] = EMPTY
    write_sizes: Mapping[CheckpointRef, Sequence[WriteSize]] = EMPTY
    messages: Mapping[CheckpointRef, Mapping[WriteName, bytes]] = EMPTY


@dataclass(slots=True)
class SessionFacts:
    """Facts about one session. Those in the cache never change."""

    row: SessionRow | None
    """None: there is no such session."""
    is_locked: bool = True
    """Whether the row was read under its lock. If not, it comes from the cache, and may be out of date."""
    latest: dict[str, CheckpointRow | None] = field(default_factory=dict)
    """The latest checkpoint by namespace; None: the namespace has none."""
    tails: dict[int, Tail] = field(default_factory=dict)
    """The last rows of logs."""
    written: KnownWrites = UNKNOWN
    checkpoints: dict[CheckpointName, CheckpointRow | None] = field(default_factory=dict)
    below: dict[CheckpointName, str | None] = field(default_factory=dict)
    """By the name of a checkpoint: the greatest id below it."""
    segments: dict[tuple[int, int], Sequence[Segment]] = field(default_factory=dict)
    """By (log, length): the rows that hold the first `length` bytes of the log."""
    write_sizes: dict[CheckpointName, Sizes] = field(default_factory=dict)
    messages: dict[CheckpointName, Mapping[WriteName, bytes]] = field(default_factory=dict)
    """Messages of pending writes; damaged ones are left out."""

    def under_lock(self, row: SessionRow) -> "SessionFacts":
        """The facts of the cache, for the row that was read under its lock. The session must not have changed."""
        return SessionFacts(row, True, dict(self.latest), dict(self.tails), self.written)

    @property
    def known_writes(self) -> KnownWrites:
        """Which pending writes are known."""
        return self.written if self.row is not None and self.row.write_bytes > 0 else NONE

    def knows(self, seek: Seek) -> bool:
        """Whether the answer to a seek is known."""
        namespace, checkpoint_id = seek.namespace, seek.checkpoint_id
        if namespace in self.latest:
            latest = self.latest[namespace]
            if checkpoint_id is None or latest is None or latest.checkpoint_id < checkpoint_id:
                return True
        if checkpoint_id is None:
            return False
        name = (namespace, checkpoint_id)
        if seek.how == "below":
            return name in self.below
        row = self.checkpoint(name)
        if seek.how == "at":
            return row is not None or name in self.checkpoints
        return row is not None or (name in self.checkpoints and name in self.below)

    def checkpoint(self, name: CheckpointName) -> CheckpointRow | None:
        """The checkpoint of this name, if it is known and there."""
        latest = self.latest.get(name[0])
        return latest if latest is not None and latest.checkpoint_id == name[1] else self.checkpoints.get(name)

    # Learning

    def learn_checkpoint(self, seek: Seek, row: CheckpointRow | None) -> None:
        """Add the answer to a seek."""
        namespace, wanted = seek.namespace, seek.checkpoint_id
        if row is not None:
            self.checkpoints[namespace, row.checkpoint_id] = row
        if wanted is None:
            self.latest[namespace] = row
            return
        found = row.checkpoint_id if row is not None else None
        if seek.how != "below" and found != wanted:
            self.checkpoints[namespace, wanted] = None
        if seek.how == "below" or (seek.how == "upto" and found != wanted):
            self.below[namespace, wanted] = found

    def learn_greatest_written(self, namespace: str, greatest: str) -> None:
        """Add the greatest checkpoint of a namespace that has pending writes; "": none has."""
        self.written = self.written.and_greatest(namespace, greatest)


Facts = Mapping[bytes, SessionFacts]
"""By the key of the session."""


def learn(facts: Facts, missing: Missing, found: ReadFacts) -> None:
    """Add to the facts what was found of the missing ones."""
    for seek in missing.checkpoints:
        facts[seek.key].learn_checkpoint(seek, found.checkpoints.get(seek))
    for key, namespace in missing.greatest_written:
        facts[key].learn_greatest_written(namespace, found.greatest_written.get((key, namespace), ""))
    for key, log in missing.tails:
        facts[key].tails[log] = found.tails.get((key, log), NO_TAIL)
    for ref in missing.segments:
        facts[ref.key].segments[ref.log, ref.length] = found.segments.get(ref, ())
    for name in missing.write_sizes:
        facts[name.key].write_sizes[name[1:]] = by_name(found.write_sizes.get(name, ()))
    for name in missing.writes:
        facts[name.key].messages[name[1:]] = found.messages.get(name, EMPTY)
