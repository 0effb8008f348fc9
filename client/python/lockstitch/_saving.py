"""Saving: what changed where that is enough, the whole state where it is not."""

from types import TracebackType

from lockstitch._calls import Caller
from lockstitch._deadline import Deadline
from lockstitch._delta import NotExpressible, Snapshot, diff
from lockstitch._draft import Draft
from lockstitch._errors import DeltaRefused
from lockstitch._memory import Base, Memory
from lockstitch._rpcs import SAVE
from lockstitch._save_ids import SaveIds
from lockstitch._tracing import call_span, current, within
from lockstitch._transport import Transport
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse


async def save(
    caller: Caller,
    memory: Memory | None,
    ids: SaveIds,
    checkpoint: Checkpoint,
    conditions: bytes,
    deadline: Deadline,
) -> SaveResponse:
    """Send a checkpoint with its full state, or something that comes to the same, as soon as there is room for it.

    `memory`: what is known of earlier saves; None: send full states only. It learns of nothing that the server has not
    acknowledged, so saves of one session may run side by side: each delta names the base it was made from.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise TypeError(f"a Checkpoint is wanted, not {type(checkpoint).__name__}")
    number = ids.next()
    with call_span(SAVE.path, caller.target) as span, within(span):
        return await _save_in_turn(caller, memory, ids, number, checkpoint, conditions, deadline)


def remember(memory: Memory | None, checkpoint: Checkpoint, revision: int) -> None:
    """Make a checkpoint that was loaded the base of the next delta. revision: its `checkpoint_revision`."""
    draft = Draft(checkpoint, b"")
    if memory is not None and revision and (snapshot := draft.snapshot(checkpoint, None)):
        memory.put(draft.key, Base(draft.checkpoint_id, revision, snapshot))


async def send(caller: Caller, request: SaveRequest, deadline: Deadline) -> SaveResponse:
    """Send a save whose delta the caller has made itself, as soon as there is room for it."""
    data, session_id = request.SerializeToString(), request.checkpoint.session_id
    with call_span(SAVE.path, caller.target) as span, within(span):
        async with _Admission(caller.transport, session_id, len(data), deadline):
            return await caller.save(data, session_id, deadline)


async def _save_in_turn(
    caller: Caller,
    memory: Memory | None,
    ids: SaveIds,
    number: int,
    checkpoint: Checkpoint,
    conditions: bytes,
    deadline: Deadline,
) -> SaveResponse:
    is_open = caller.transport.room.is_open()
    draft = Draft(checkpoint, conditions) if is_open else None  # nothing is copied by those who have to wait
    size = draft.size if draft else checkpoint.ByteSize() + len(conditions)
    async with _Admission(caller.transport, checkpoint.session_id, size, deadline):
        draft = draft or Draft(checkpoint, conditions)
        with ids.identified(draft, number):
            if memory is None:
                return await caller.save(draft.full(), draft.key[0], deadline)
            return await _save(caller, memory, checkpoint, draft, deadline)


class _Admission:
    """While a save is under way. It begins when there is room, and when the saves of the session before it are sent.

    A class, since a generator takes several times as long.
    """

    __slots__ = ("_deadline", "_is_alone", "_session_id", "_size", "_transport")

    def __init__(self, transport: Transport, session_id: str, size: int, deadline: Deadline) -> None:
        self._transport = transport
        self._session_id = session_id
        self._size = size
        self._deadline = deadline
        self._is_alone = False

    async def __aenter__(self) -> None:
        await self._transport.room.enter(self._size, self._deadline.remaining)
        try:
            self._is_alone = await self._transport.turns.enter(self._session_id, self._deadline.remaining)
        except BaseException:
            self._transport.room.leave(self._size)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_alone:
            self._transport.turns.leave(self._session_id)
        self._transport.room.leave(self._size)


async def _save(
    caller: Caller, memory: Memory, checkpoint: Checkpoint, draft: Draft, deadline: Deadline
) -> SaveResponse:
    base = memory.get(draft.key)
    snapshot = draft.snapshot(checkpoint, base.snapshot if base else None)
    smaller = _as_delta(draft, base, snapshot) if base and snapshot else None
    try:
        answer = await caller.save(smaller or draft.full(), draft.key[0], deadline)
    except DeltaRefused:
        if smaller is None:
            raise
        current().retried("the server wants the full state")
        answer = await caller.save(draft.full(), draft.key[0], deadline)
    if snapshot and answer.revision:  # without it nobody would notice that a base was replaced
        memory.put(draft.key, Base(answer.checkpoint_id, answer.revision, snapshot))
    return answer


def _as_delta(draft: Draft, base: Base, snapshot: Snapshot) -> bytes | None:
    """None: there is none, or no gain in it."""
    if base.checkpoint_id == draft.checkpoint_id:
        return None  # it would replace what it starts from, and could not be repeated
    try:
        delta = diff(base.snapshot, snapshot)
    except NotExpressible:
        return None
    if len(delta) >= snapshot.size:
        return None
    return draft.with_delta(SaveRequest(base_checkpoint_id=base.checkpoint_id, base_revision=base.revision), delta)
