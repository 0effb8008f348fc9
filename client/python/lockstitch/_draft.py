"""A save as it goes to the server: a SaveRequest, serialized once, sent whole or with a delta in place of the state."""

from collections.abc import Iterable
from datetime import timedelta

from lockstitch._convert import to_duration, to_expected_latest
from lockstitch._delta import NotExpressible, Snapshot
from lockstitch._types import NoCheckpoint
from lockstitch._wire import embedded, fields
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest

# Tags of SaveRequest, and that of `Checkpoint.state`.
CHECKPOINT, DELTA = b"\x0a", b"\x2a"
STATE = 0x32


def conditions(
    expected_latest: str | int | NoCheckpoint | None,
    expected_revision: int,
    writes: Iterable[PendingWrite],
    ttl: timedelta | float | None,
    lease_token: int,
) -> bytes:
    """What a SaveRequest holds beside its checkpoint and its delta, serialized."""
    if expected_latest is None and ttl is None and writes == () and lease_token == expected_revision == 0:
        return b""
    return SaveRequest(
        expected_latest=to_expected_latest(expected_latest, expected_revision),
        writes=writes,
        ttl=to_duration(ttl),
        lease_token=lease_token,
    ).SerializeToString()


class Draft:
    """A checkpoint as it was at one moment, with what belongs to its save. `size` is in bytes."""

    __slots__ = ("_conditions", "_state", "checkpoint_id", "data", "key", "size")

    def __init__(self, checkpoint: Checkpoint, conditions: bytes) -> None:
        self.key = (checkpoint.session_id, checkpoint.namespace)
        self.checkpoint_id = checkpoint.checkpoint_id or f"{checkpoint.step:020d}"
        """The id under which the server will store it."""
        self.data = checkpoint.SerializeToString()
        self._conditions = conditions
        self.size = len(self.data) + len(conditions)
        self._state = (0, 0, 0)  # where in the data its field begins, its value does, and its end

    def add_condition(self, field: bytes) -> None:
        """Add a serialized field to what the request holds beside its checkpoint."""
        self._conditions += field

    def snapshot(self, checkpoint: Checkpoint, known: Snapshot | None) -> Snapshot | None:
        """The state of the checkpoint, which must not have changed since. None: it has none that a delta can carry.

        known: another snapshot of the session.
        """
        if not checkpoint.HasField("state"):
            return None
        try:
            self._state = _field(self.data, STATE)
            return Snapshot.of(checkpoint.state, self.data, *self._state[1:], known)
        except NotExpressible:
            return None

    def full(self) -> bytes:
        """The request with the full state."""
        return embedded(CHECKPOINT, self.data) + self._conditions

    def with_delta(self, base: SaveRequest, delta: bytes) -> bytes:
        """The request with a delta. `base`: what it says of its base. Needs the snapshot to have been made."""
        begin, _, end = self._state
        checkpoint = embedded(CHECKPOINT, self.data[:begin] + self.data[end:])
        return b"".join((checkpoint, self._conditions, base.SerializeToString(), embedded(DELTA, delta)))


def _field(data: bytes, wanted: int) -> tuple[int, int, int]:
    """Where a field begins, where its value does, and its end."""
    try:
        for tag, begin, value, end in fields(data, 0, len(data)):
            if tag == wanted:
                return begin, value, end
    except ValueError as error:
        raise NotExpressible from error
    raise NotExpressible
