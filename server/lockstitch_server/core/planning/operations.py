"""The operations of a batch, and their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from lockstitch_server.core.format.checkpoint import DraftState
from lockstitch_server.core.format.parts import DraftPart, RowSizes
from lockstitch_server.core.format.rows import NewWrite
from lockstitch_server.core.format.save_ids import SaveId


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """Limits and sizes for plans."""

    row_sizes: RowSizes
    """How logs are cut into rows."""
    max_bytes: int
    """Maximum size of a checkpoint with its pending writes, so that a response can carry it."""
    max_parts: int
    """Maximum extra entries and custom channels of a state, so that it can be sent in full as well as by deltas."""


class Outcome(Enum):
    """What a save did."""

    CREATED = 1
    REPLACED = 2
    UNCHANGED = 3


class Expected(NamedTuple):
    """What the latest checkpoint must be before a save."""

    kind: Literal["checkpoint_id", "step", "none"]
    value: str | int | None = None
    revision: int = 0
    """0: any."""

    def is_met_by(self, checkpoint_id: str, step: int, revision: int) -> bool:
        """Whether a latest checkpoint is as expected."""
        if self.kind == "none" or self.revision not in (0, revision):
            return False
        return self.value == (checkpoint_id if self.kind == "checkpoint_id" else step)


class ListDelta(NamedTuple):
    """A list channel's new version and the serialized items to append."""

    version: int
    appended: bytes


class ExtraDelta(NamedTuple):
    """The extra channel's new version, and its changed and removed entries."""

    version: int
    put: Sequence[DraftPart]
    removed: frozenset[str]


class CustomDelta(NamedTuple):
    """A custom channel's new version and value."""

    name: str
    version: str
    change: Literal["version", "put", "append"]
    part: DraftPart
    """For "append": only the new items."""


@dataclass(frozen=True, slots=True)
class DraftDelta:
    """The changes of a delta save to the state of its base."""

    base_id: str
    base_revision: int
    """The revision the base must have; 0: any."""
    digest: bytes
    """Of the request's content. It identifies a repetition of the request."""
    messages: ListDelta | None = None
    errors: ListDelta | None = None
    extra: ExtraDelta | None = None
    custom: Sequence[CustomDelta] = ()
    removed_custom: frozenset[str] = frozenset()


@dataclass(slots=True)  # not frozen, which would double the time to create one
class Save:
    """One checkpoint to store."""

    key: bytes
    tenant: str
    session_id: str
    namespace: str
    checkpoint_id: str
    parent_id: str
    step: int
    header: bytes
    server_time: bool
    state: DraftState | DraftDelta | None
    terms: tuple[int, ...] = ()
    expected: Expected | None = None
    lease_token: int = 0
    writes: Sequence[NewWrite] = ()
    ttl: int | None = None
    trace_id: bytes = b""
    """Of the trace that the call belongs to, 16 bytes; empty: none."""
    save_id: SaveId | None = None


@dataclass(frozen=True, slots=True)
class SaveWrites:
    """Pending writes to store."""

    key: bytes
    tenant: str
    session_id: str
    namespace: str
    checkpoint_id: str
    writes: Sequence[NewWrite]
    lease_token: int = 0


Operation = Save | SaveWrites


def bytes_of(operation: Operation) -> int:
    """How many bytes of its caller an operation holds, without names."""
    size = sum(len(write.message) for write in operation.writes)
    if isinstance(operation, SaveWrites):
        return size
    return size + len(operation.header) + _state_bytes(operation.state)


def _state_bytes(state: DraftState | DraftDelta | None) -> int:
    if state is None:
        return 0
    if isinstance(state, DraftState):
        return sum(len(part.data) for part in state.parts)
    appended = sum(len(items.appended) for items in (state.messages, state.errors) if items is not None)
    parts = [*(state.extra.put if state.extra is not None else ()), *(change.part for change in state.custom)]
    return appended + sum(len(part.data) for part in parts)


class Saved(NamedTuple):
    """The result of a Save."""

    checkpoint_id: str
    revision: int
    outcome: Outcome
    saved_at: int


class WritesSaved(NamedTuple):
    """The result of a SaveWrites."""

    revision: int
    stored: int


Result = Saved | WritesSaved
