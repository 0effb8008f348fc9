"""The rows of a store, alike on every backend. Times are in ns since 1970, UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import ClassVar, Literal, NamedTuple

from google.protobuf.message import DecodeError

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.compression import PackingError, unpack
from lockstitch_server.core.format.content import EMPTY
from lockstitch_server.core.format.manifest import Record, decode
from lockstitch_server.core.format.parts import Segment, damaged
from lockstitch_server.records.v1.record_pb2 import CheckpointRecord

NS_PER_MICROSECOND = 1000


@dataclass(slots=True)
class SessionRow:
    """A session's counters and settings."""

    STORED: ClassVar = (
        "key",
        "tenant",
        "session_id",
        "created_at",
        "updated_at",
        "revision",
        "last_log",
        "checkpoint_count",
        "stored_bytes",
        "write_bytes",
        "ttl",
        "expire_at",
        "content",
    )
    """The columns that the checksum covers. The other fields are computed when the row is read."""

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
    content: bytes = EMPTY
    """Checksums by which reads notice missing rows: see `core.format.content`."""
    lease: int = 0
    """The token of the live lease, by the database's clock at the time of reading; 0: there is none."""
    lease_holder: str = ""
    """As it is stored: see `leases.Holder`."""
    tombstone_until: int = 0
    """Until when the session, which was deleted, cannot be created again; 0: it can. By the database's clock too."""
    read_at: int = 0
    """When the row was read, by the database's clock, in ns."""
    damaged: bool = field(default=False, compare=False)
    """Whether the stored row fails its checksum. Nothing of a damaged row but its key can be trusted."""

    @property
    def had_expired(self) -> bool:
        """Whether the session had expired when the row was read."""
        return self.expired(self.read_at)

    def checksum(self) -> int:
        """CRC-32 over the key, the names, the counters and the checksums of the content."""
        columns = (
            f"{self.tenant}\0{self.session_id}\0{self.created_at}\0{self.updated_at}\0{self.revision}\0{self.last_log}\0"
            f"{self.checkpoint_count}\0{self.stored_bytes}\0{self.write_bytes}\0{self.ttl}\0{self.expire_at}\0"
        )
        return checksum.crc(b"".join((self.key, columns.encode(), self.content)))

    def check(self) -> "SessionRow":
        """This row. Fails with DATA_LOSS if it is damaged."""
        if self.damaged:
            raise session_damaged(self.session_id)
        return self

    def expired(self, now: int) -> bool:
        """Whether the session has expired at a time of the database's clock."""
        return self.expire_at is not None and self.expire_at <= now

    def touch(self, now: int) -> int:
        """Note a change of the session. Returns its new revision."""
        # By the clock, so that a revision never comes again, not even in a store that was emptied or put back: there a
        # client's delta could otherwise meet another base under the revision that it knows.
        self.revision = revision = max(self.revision + 1, now // NS_PER_MICROSECOND)
        self.updated_at = revision * NS_PER_MICROSECOND
        if self.ttl is not None:
            self.expire_at = self.updated_at + self.ttl
        return revision

    def copy(self) -> "SessionRow":
        """A row that can be changed without changing this one."""
        return SessionRow(*_fields_of(self))


_fields_of = attrgetter(*(each.name for each in fields(SessionRow)))


def session_damaged(session_id: str) -> Failure:
    """The error of a session whose row fails its checksum."""
    return Failure(
        Reason.DATA_LOSS,
        f"the stored row of session {session_id!r} is damaged; `lockstitch check` names what is wrong with it",
        session_id=session_id,
    )


class ExpectedVersion(NamedTuple):
    """The state of a session that a plan was made for: it holds as long as these columns are the same.

    Whatever changes a session changes its revision, except a sliding expiry that moves and a lease that runs out.
    """

    key: bytes
    revision: int
    """0: there is no such session."""
    expire_at: int | None
    lease: int = 0
    """The token of the lease that is live when the plan is carried out; 0: there is none."""


@dataclass(slots=True)
class CheckpointRow:
    """A checkpoint without the bytes of its parts."""

    STORED: ClassVar = ("key", "namespace", "checkpoint_id", "parent_id", "step", "revision", "record", "crc")
    """The columns. The other fields are computed."""

    key: bytes
    namespace: str
    checkpoint_id: str
    parent_id: str
    step: int
    revision: int
    """The session's revision in which this content was written: the time of the save in us."""
    record: bytes
    crc: int = 0
    _decoded: CheckpointRecord | None = field(default=None, repr=False, compare=False)
    _parsed: Record | None = field(default=None, repr=False, compare=False)

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

    def parsed(self) -> Record | None:
        """The record as tuples; None if it is damaged, or has fields that this server does not know."""
        if self._parsed is None:
            try:
                self._parsed = decode(self.decoded())
            except Failure:
                return None
        return self._parsed

    def remember(self, record: CheckpointRecord) -> None:
        """Keep the decoded record, so that `decoded` need not decode it."""
        self._decoded = record

    def remember_parsed(self, record: Record) -> None:
        """Keep the parsed record, so that `parsed` need not parse it."""
        self._parsed = record

    @property
    def intact(self) -> bool:
        """Whether the row is as it was stored."""
        try:
            self.decoded()
        except Failure:
            return False
        return True

    def moved(self, key: bytes) -> "CheckpointRow":
        """The same row in another session. One that is damaged stays so."""
        # A CRC is linear: what the keys differ in changes it by what depends on their place alone.
        rest = bytes(len(self._columns()) + len(self.record))
        moved = checksum.crc(self.key + rest) ^ checksum.crc(key + rest)
        row = replace(self, key=key, crc=self.crc ^ moved, _decoded=None, _parsed=None)
        if self._decoded is not None:
            row.remember(self._decoded)
        return row

    def checksum(self) -> int:
        """CRC-32 over all columns."""
        return checksum.crc(b"".join((self.key, self._columns(), self.record)))

    def _columns(self) -> bytes:
        return f"{self.namespace}\0{self.checkpoint_id}\0{self.parent_id}\0{self.step}\0{self.revision}".encode()


class NewWrite(NamedTuple):
    """A pending write of a checkpoint."""

    namespace: str
    checkpoint_id: str
    task_id: str
    task_index: int
    task_path: str
    channel: str
    message: bytes
    """The PendingWrite message, serialized."""


class WriteRow(NamedTuple):
    """One or several pending writes of a task: see `pending_writes`."""

    key: bytes
    namespace: str
    checkpoint_id: str
    task_id: str
    task_index: int
    task_path: str
    channel: str
    data: bytes
    crc: int


class WriteSize(NamedTuple):
    """How large a pending write is."""

    task_id: str
    task_index: int
    size: int
    """Bytes of its message."""
    stored: int
    """Bytes of its row; 0: another write of the same row counts them."""
    crc: int
    """The checksum of its row; 0: another write of the same row counts it, or it is not known yet."""


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
    """The changes of one session in one transaction."""

    row: SessionRow
    is_new: bool
    wipe: bool = False
    """Remove all rows of an expired session first."""
    checkpoints: Mapping[tuple[str, str], "CheckpointChange"] = field(default_factory=dict)
    """By (namespace, checkpoint_id)."""
    ends: list[tuple[int, int, int]] = field(default_factory=list)
    """(log, start, size) of the rows that `tails` adds to, as they must be."""
    tails: list[tuple[int, Segment]] = field(default_factory=list)
    """(log, bytes to add to the row at `start`, with the CRC-32 of the whole row then)."""
    segments: list["NewRow"] = field(default_factory=list)
    """New rows of logs."""
    seals: list["NewRow"] = field(default_factory=list)
    """Rows to put in place of those that stand there, with more bytes of their logs."""
    writes: list[WriteRow] = field(default_factory=list)
    """Pending writes that are new or replace what is there."""


class NewRow(NamedTuple):
    """A new row of a log."""

    log: int
    start: int
    size: int
    """How many bytes of the log it holds."""
    data: bytes
    """These bytes, packed if that makes them fewer."""
    crc: int
    """CRC-32 of the bytes before packing."""


class CheckpointChange(NamedTuple):
    """A checkpoint's row to write, and its search terms."""

    row: CheckpointRow
    terms: tuple[int, ...]
    is_new: bool


class SessionSummary(NamedTuple):
    """A session as a list shows it."""

    row: SessionRow
    latest_checkpoint_id: str
    latest_step: int
    labels: Mapping[str, str]
    is_shown: bool = True
    """False: the session has no checkpoints, or has expired."""
