"""What the clients take and give beside the contract's messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, IntEnum
from typing import Final, Generic, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch._errors import LockstitchError
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite
from lockstitch.v1.checkpoint_service_pb2 import ChannelSize, SessionSummary

Item = TypeVar("Item")


class NoCheckpoint(Enum):
    """The type of `NONE`."""

    NONE = "none"


NONE: Final = NoCheckpoint.NONE
"""As `expected_latest`: there is no checkpoint yet."""


class View(IntEnum):
    """How much of a checkpoint an answer holds."""

    FULL = 1
    """Everything."""
    HEADER = 2
    """Everything but `state`."""


class SessionOrder(IntEnum):
    """The order of a list of sessions."""

    UPDATED_AT = 1
    """Last changed first. A session that changes while the list is read may come twice or not at all."""
    SESSION_ID = 2
    """By session_id, ascending. Nothing that stays is missed."""


class SaveOutcome(IntEnum):
    """What a save did."""

    UNSPECIFIED = 0
    """Something that this library has no word for: the server is newer."""
    CREATED = 1
    """The checkpoint is new."""
    REPLACED = 2
    """A checkpoint with this id had other content, which is gone."""
    UNCHANGED = 3
    """The checkpoint was there already with this content."""

    @classmethod
    def _missing_(cls, value: object) -> "SaveOutcome":
        return cls.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save answers. The checkpoint is durable.

    revision: that of the session in which this content was written; it grows with every change of the session.
    saved_at: the server's time of the save that wrote this content.
    """

    checkpoint_id: str
    revision: int
    outcome: SaveOutcome
    saved_at: Timestamp


@dataclass(frozen=True, slots=True)
class SavedWrites:
    """What saving pending writes answers.

    revision: the session's, after the call.
    stored: how many writes were stored or replaced; the others were there already.
    """

    revision: int
    stored: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint, its pending writes by (task_path, task_id, index), and the session's revision.

    checkpoint_revision: the revision in which the checkpoint's content was written.
    trace_id: the trace of the call that wrote it, 32 hexadecimal digits; "" where it was not traced.
    """

    checkpoint: Checkpoint
    pending_writes: Sequence[PendingWrite]
    revision: int
    checkpoint_revision: int
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest checkpoint (None: there is none), its pending writes, and the session's revision (0: no session).

    checkpoint_revision: the revision in which the checkpoint's content was written (0: there is none).
    trace_id: the trace of the call that wrote it, 32 hexadecimal digits; "" where it was not traced.
    """

    checkpoint: Checkpoint | None
    pending_writes: Sequence[PendingWrite]
    revision: int
    checkpoint_revision: int
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class LatestOf:
    """The answer about one of many sessions: ask `result()`, as one asks a future.

    error: why it could not be loaded; None if it could.
    """

    session_id: str
    namespace: str
    error: LockstitchError | None
    _latest: Latest | None

    def result(self) -> Latest:
        """The latest checkpoint. Raises `error` if it could not be loaded, so that nobody takes that for "none"."""
        if self._latest is None:
            raise self.error or LockstitchError("an answer without a result")
        return self._latest


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A checkpoint on the way back along parent_id.

    pending_writes: empty unless asked for.
    revision: that of the session in which this checkpoint's content was written.
    """

    checkpoint: Checkpoint
    pending_writes: Sequence[PendingWrite]
    revision: int


@dataclass(frozen=True, slots=True)
class ListedCheckpoint:
    """A checkpoint as a list shows it.

    pending_writes: empty unless asked for.
    revision: that of the session in which this content was written.
    saved_at: the server's time of that save.
    state_bytes: size of the state as stored, in bytes.
    trace_id: the trace of the call that wrote this content, 32 hexadecimal digits; "" where it was not traced.
    channels: the size of each channel; empty unless asked for, and from servers that do not know the question.
    """

    checkpoint: Checkpoint
    pending_writes: Sequence[PendingWrite]
    revision: int
    saved_at: Timestamp
    state_bytes: int
    trace_id: str = ""
    channels: Sequence[ChannelSize] = ()


@dataclass(frozen=True, slots=True)
class DamagedCheckpoint:
    """A checkpoint that is damaged in the store. error: the DataLoss that loading it raises."""

    session_id: str
    namespace: str
    checkpoint_id: str
    error: LockstitchError


@dataclass(frozen=True, slots=True)
class Retention:
    """Which checkpoints of a session stay. The latest of every namespace always does.

    keep_last: how many of the greatest ids of each namespace to keep; 0: no such rule.
    max_age: those saved no longer ago; None: no such rule.
    """

    keep_last: int = 0
    max_age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a session, for a time.

    token: for the `lease_token` of saves; 0 where the lease is somebody else's.
    holder: who holds it, in the holder's own words.
    ttl: how long it lasted from when the server answered; None where it is only told of.
    """

    session_id: str
    token: int
    holder: str
    acquired_at: Timestamp
    expire_at: Timestamp
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SessionDetails:
    """A session with its settings.

    ttl: sliding expiry; None: none.
    retention: the session's own; None: the server's.
    lease: the live one, without its token; None: none.
    """

    summary: SessionSummary
    ttl: timedelta | None
    retention: Retention | None
    lease: Lease | None


@dataclass(frozen=True, slots=True)
class DeletedCheckpoints:
    """What a deletion of checkpoints answers.

    deleted: how many are gone.
    revision: the session's, after the call; 0 where all sessions were meant, or there is none.
    """

    deleted: int
    revision: int


@dataclass(frozen=True, slots=True)
class CopiedSession:
    """What a copy answers: the new session's revision, and how many checkpoints it has."""

    revision: int
    checkpoint_count: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning has deleted, or would: checkpoints, bytes that they took in the store, and of how many sessions."""

    checkpoints: int
    bytes: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; it may be short or empty with more to come.

    next_page_token: get the next page with this; "" says that the list is at its end.
    total_size: how many match in all, if asked for.
    damaged: the checkpoints of this page that cannot be returned.
    """

    items: Sequence[Item]
    next_page_token: str
    total_size: int | None = None
    damaged: Sequence[DamagedCheckpoint] = ()
