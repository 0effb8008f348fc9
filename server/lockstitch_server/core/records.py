"""The rows of a store, alike on every backend. Times are in ns since 1970, UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from google.protobuf.message import DecodeError

from lockstitch_server.core import checksum
from lockstitch_server.core.packing import PackingError, unpack
from lockstitch_server.core.parts import Segment, damaged
from lockstitch_server.records.v1.record_pb2 import CheckpointRecord

NS_PER_MICROSECOND = 1000


@dataclass(slots=True)
class SessionRow:
    """A session's counters and settings."""

    key: bytes
    tenant: str
    session_id: str
    created_at: int
    updated_at: int
    revision: int = 0
    last_log: int = 0
    checkpoint_count: int = 0
    stored_bytes: int = 0
    write_bytes: int = 0
    """Bytes of pending writes, which `stored_bytes` holds too."""
    ttl: int | None = None
    """Sliding expiry in ns; None: the session stays."""
    expire_at: int | None = None

    def expired(self, now: int) -> bool:
        return self.expire_at is not None and self.expire_at <= now


@dataclass(slots=True)
class CheckpointRow:
    """A checkpoint without the bytes of its parts."""

    key: bytes
    namespace: str
    checkpoint_id: str
    parent_id: str
    step: int
    revision: int
    """The session's revision in which this content was written: the time of the save in us."""
    record: bytes
    crc: int = 0
    _decoded: CheckpointRecord | None = field(default=None, repr=False)

    @property
    def saved_at(self) -> int:
        """The time of the save."""
        return self.revision * NS_PER_MICROSECOND

    def decoded(self) -> CheckpointRecord:
        """The record, checked. Fails with DATA_LOSS."""
        if self._decoded is None:
            if self.checksum() != self.crc:
                raise damaged()
            try:
                self._decoded = CheckpointRecord.FromString(unpack(self.record))
            except (DecodeError, PackingError) as error:
                raise damaged() from error
        return self._decoded

    def checksum(self) -> int:
        """CRC-32 over all columns."""
        columns = "\0".join(
            (
                self.namespace,
                self.checkpoint_id,
                self.parent_id,
                str(self.step),
                str(self.revision),
            )
        )
        return checksum.crc(self.record, checksum.crc(columns.encode(), checksum.crc(self.key)))


class WriteRow(NamedTuple):
    """A pending write of a checkpoint."""

    key: bytes
    namespace: str
    checkpoint_id: str
    task_id: str
    task_index: int
    task_path: str
    channel: str
    data: bytes
    """The PendingWrite message, serialized."""
    crc: int


class WriteSize(NamedTuple):
    """A stored pending write, without its bytes."""

    task_id: str
    task_index: int
    size: int


class CheckpointRef(NamedTuple):
    """Names one checkpoint."""

    key: bytes
    namespace: str
    checkpoint_id: str


class Seek(NamedTuple):
    """Asks for the checkpoint with exactly this id, or for the greatest below it (with None: the latest).

    "upto" is for both: the one with this id if it is there, else the greatest below it.
    """

    key: bytes
    namespace: str
    how: Literal["at", "below", "upto"]
    checkpoint_id: str | None


class LogRef(NamedTuple):
    """Names the first `length` bytes of a log."""

    key: bytes
    log: int
    length: int


@dataclass(slots=True)
class SessionChange:
    """What one transaction does to one session. Empty parts are nothing to do."""

    row: SessionRow
    is_new: bool
    wipe: bool = False
    """Remove all rows of an expired session first."""
    checkpoints: Mapping[tuple[str, str], "CheckpointChange"] = field(default_factory=dict)
    """By (namespace, checkpoint_id)."""
    tails: list[tuple[int, Segment]] = field(default_factory=list)
    """(log, bytes to add to the row at `start`, with the CRC-32 of the whole row then)."""
    segments: list[tuple[int, Segment]] = field(default_factory=list)
    """(log, new row)."""
    writes: list[WriteRow] = field(default_factory=list)
    """Pending writes that are new or replace what is there."""


class CheckpointChange(NamedTuple):
    """A row to write."""

    row: CheckpointRow
    terms: tuple[int, ...]
    is_new: bool


class SessionSummary(NamedTuple):
    """A session as a list shows it."""

    row: SessionRow
    latest_checkpoint_id: str
    latest_step: int
    labels: Mapping[str, str]
