"""What a session holds after any sequence of saves, by the comments of the contract, in plain dictionaries."""

from dataclasses import dataclass, field

from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite, StateDelta, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    ExpectedLatest,
    SaveOutcome,
    SaveRequest,
    SaveResponse,
)
from tests.client.reference import apply

Name = tuple[str, str]
"""(namespace, checkpoint id)."""


@dataclass
class Entry:
    """A checkpoint as it was saved."""

    checkpoint: Checkpoint
    """`created_at` is absent where the request had none."""
    origin: tuple[bytes, int] | None
    """The delta that made it, and the revision of that delta's base."""
    revision: int = 0
    saved_at: int = 0
    save_ids: list[tuple[int, int]] = field(default_factory=list)
    """(writer, number) of the last save of each of the last writers, the last one first."""


@dataclass
class Prediction:
    """What must come of a save: an outcome, or a failure for one of these reasons."""

    outcome: "SaveOutcome.ValueType | None" = None
    reasons: set[str] = field(default_factory=set)
    entry: Entry | None = None
    save_ids: list[tuple[int, int]] | None = None
    """Of the entry from now on; None: they stay."""


class Mismatch(Exception):
    """A delta does not fit its base."""


class Model:
    """One session."""

    def __init__(self) -> None:
        self.entries: dict[Name, Entry] = {}
        self.writes: dict[Name, dict[tuple[str, int], PendingWrite]] = {}
        self.revision = 0
        self.lease = 0
        """The token of the live lease; 0: there is none."""
        self.ttl: int | None = None
        """In ns."""
        self.is_over = False
        """Whether it has expired, and nothing has been saved since."""

    def ids(self, namespace: str) -> list[str]:
        """The ids of a namespace, the latest first."""
        return sorted((name for space, name in self.entries if space == namespace), key=str.encode, reverse=True)

    def predict(self, request: SaveRequest) -> Prediction:
        """What must come of a save."""
        name = name_of(request.checkpoint)
        known = self.entries.get(name)
        reasons = self._objections(request, name)
        if reasons and not (known and self._may_be_retry(request, known)):
            return Prediction(reasons=reasons)
        if known is not None and self._is_superseded(request, known):
            reasons = reasons | {"SUPERSEDED"}
        if known is not None and self._is_repetition(request, name, known):
            return self._unchanged(request, name, known, reasons)
        try:
            entry = self._entry(request, name)
        except Mismatch as mismatch:
            return Prediction(reasons=reasons | {str(mismatch)})
        if known is not None and exact(known.checkpoint) == exact(entry.checkpoint):
            return self._unchanged(request, name, known, reasons)
        if reasons:
            return Prediction(reasons=reasons)
        entry.save_ids = _with_save(known.save_ids if known else [], request)
        return Prediction(SAVE_OUTCOME_REPLACED if known else SAVE_OUTCOME_CREATED, entry=entry)

    def saved(self, request: SaveRequest, prediction: Prediction, answer: SaveResponse) -> None:
        """Take note of a save that has been answered, and see that the answer fits."""
        name, entry = name_of(request.checkpoint), prediction.entry
        assert (answer.outcome, answer.checkpoint_id) == (prediction.outcome, name[1])
        assert entry is not None
        if prediction.outcome != SAVE_OUTCOME_UNCHANGED:
            assert answer.revision > self.revision
            self.revision = entry.revision = answer.revision
            entry.saved_at = answer.saved_at.ToNanoseconds()
            self.entries[name] = entry
            self.is_over = False
        assert (answer.revision, answer.saved_at.ToNanoseconds()) == (entry.revision, entry.saved_at)
        if prediction.outcome != SAVE_OUTCOME_UNCHANGED or self._may_change(request):
            self.ttl = request.ttl.ToNanoseconds() if request.HasField("ttl") else self.ttl
        if prediction.save_ids is not None:
            entry.save_ids = prediction.save_ids
        self.write(name, list(request.writes))

    def expire(self) -> None:
        """Take note that the time of the session is over. Leases go on, and so do revisions."""
        self.entries.clear()
        self.writes.clear()
        self.ttl, self.is_over = None, True

    def write(self, name: Name, writes: list[PendingWrite]) -> int:
        """Take note of pending writes. Returns how many of them change something."""
        new = self._new_writes(name, writes)
        self.writes.setdefault(name, {}).update(new)
        self.is_over = self.is_over and not new
        return len(new)

    def pending(self, name: Name) -> list[PendingWrite]:
        """The pending writes of a checkpoint, in order."""
        found = self.writes.get(name, {}).values()
        return sorted(found, key=lambda write: (write.task_path.encode(), write.task_id.encode(), write.index))

    def loaded(self, name: Name) -> Checkpoint:
        """A checkpoint as it must come back."""
        entry, checkpoint = self.entries[name], Checkpoint()
        checkpoint.CopyFrom(entry.checkpoint)
        if not checkpoint.HasField("created_at"):
            checkpoint.created_at.FromNanoseconds(entry.saved_at)
        return checkpoint

    def ancestors(self, name: Name) -> list[str]:
        """The ids of the parents, nearest first."""
        found, seen = [], {name[1]}
        while (name := (name[0], self.entries[name].checkpoint.parent_id)) in self.entries and name[1] not in seen:
            seen.add(name[1])
            found.append(name[1])
        return found

    def _entry(self, request: SaveRequest, name: Name) -> Entry:
        checkpoint = Checkpoint()
        checkpoint.CopyFrom(request.checkpoint)
        checkpoint.checkpoint_id = name[1]
        if not request.HasField("delta"):
            return Entry(checkpoint, None)
        base = self.entries.get((name[0], request.base_checkpoint_id))
        if base is None:
            raise Mismatch("UNKNOWN_BASE")
        if request.base_revision not in (0, base.revision):
            raise Mismatch("BASE_CHANGED")
        checkpoint.state.CopyFrom(applied(base.checkpoint.state, request.delta))
        return Entry(checkpoint, (delta_name(request), base.revision))

    def _is_repetition(self, request: SaveRequest, name: Name, known: Entry) -> bool:
        """Whether this delta made what is there. One that replaced its base can only be known by its own revision."""
        if not request.HasField("delta") or known.origin is None or known.origin[0] != delta_name(request):
            return False
        if request.base_revision not in (0, known.origin[1]):
            return False
        base = (name[0], request.base_checkpoint_id)
        if base == name:  # the same changes, to whatever is there, are other ones in another save
            return request.base_revision != 0 or self._may_be_retry(request, known)
        return self.entries[base].revision == known.origin[1]

    def _unchanged(self, request: SaveRequest, name: Name, known: Entry, reasons: set[str]) -> Prediction:
        if self._new_writes(name, list(request.writes)) and reasons:
            return Prediction(reasons=reasons)
        confirms = not reasons and not self._is_stored_save(request, known)
        return Prediction(
            SAVE_OUTCOME_UNCHANGED, entry=known, save_ids=_with_save(known.save_ids, request) if confirms else None
        )

    def _may_be_retry(self, request: SaveRequest, known: Entry) -> bool:
        """Whether conditions that do not hold leave room for a success."""
        return not request.HasField("save_id") or self._is_stored_save(request, known)

    def _is_stored_save(self, request: SaveRequest, known: Entry) -> bool:
        return (request.save_id.writer, request.save_id.number) in known.save_ids

    def _is_superseded(self, request: SaveRequest, known: Entry) -> bool:
        """Whether the client, or another one, has saved something else since."""
        numbers = dict(known.save_ids)
        writer, number = request.save_id.writer, request.save_id.number
        if number < numbers.get(writer, 0):
            return True
        return self._is_stored_save(request, known) and known.save_ids[0] != (writer, number)

    def _objections(self, request: SaveRequest, name: Name) -> set[str]:
        """What stands against a change."""
        reasons = set() if self._holds(request.expected_latest, name[0]) else {"EXPECTED_LATEST_MISMATCH"}
        return reasons if self._may_change(request) else reasons | {"LEASE_LOST"}

    def _may_change(self, request: SaveRequest) -> bool:
        return request.lease_token == self.lease

    def _new_writes(self, name: Name, writes: list[PendingWrite]) -> dict[tuple[str, int], PendingWrite]:
        stored, new = self.writes.get(name, {}), dict[tuple[str, int], PendingWrite]()
        for write in writes:
            key = (write.task_id, write.index)
            if write.index < 0 or key not in stored | new:
                new[key] = write
        return {key: write for key, write in new.items() if key not in stored or exact(stored[key]) != exact(write)}

    def _holds(self, expected: ExpectedLatest, namespace: str) -> bool:
        kind, ids = expected.WhichOneof("expected"), self.ids(namespace)
        if kind == "none":
            return not ids
        if kind is None or not ids:
            return kind is None
        latest = self.entries[namespace, ids[0]]
        if expected.revision not in (0, latest.revision):
            return False
        return latest.checkpoint.step == expected.step if kind == "step" else ids[0] == expected.checkpoint_id


def name_of(checkpoint: Checkpoint) -> Name:
    return checkpoint.namespace, checkpoint.checkpoint_id or f"{checkpoint.step:020d}"


def _with_save(save_ids: list[tuple[int, int]], request: SaveRequest) -> list[tuple[int, int]]:
    if not request.HasField("save_id"):
        return save_ids
    save = (request.save_id.writer, request.save_id.number)
    return [save, *(each for each in save_ids if each[0] != save[0])][:4]


def delta_name(request: SaveRequest) -> bytes:
    """What makes two delta saves the same: all but conditions and writes."""
    content = SaveRequest(
        checkpoint=request.checkpoint, base_checkpoint_id=request.base_checkpoint_id, delta=request.delta
    )
    content.checkpoint.checkpoint_id = name_of(request.checkpoint)[1]
    return exact(content)


def applied(base: VersionedState, delta: StateDelta) -> VersionedState:
    """A base with a delta."""
    for name, change in delta.custom.items():
        if change.WhichOneof("change") == "append" and name in base.custom and base.custom[name].HasField("blob"):
            raise Mismatch("DELTA_MISMATCH")
    return apply(base, delta)


def exact(message: "Checkpoint | PendingWrite | SaveRequest") -> bytes:
    return message.SerializeToString(deterministic=True)
