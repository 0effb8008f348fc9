"""The session whose growth is bounded: every step appends 500 bytes of messages and changes one small extra key."""

import random

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1.checkpoint_pb2 import (
    ChannelVersions,
    Checkpoint,
    ExtrasChannel,
    ExtrasDelta,
    Message,
    MessagesChannel,
    MessagesDelta,
    NodeKind,
    StateDelta,
    VersionedState,
)
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest

STEPS = 1000
MESSAGE_BYTES = 500
NODES = ("plan", "act", "observe")


class GrowingSession:
    """A session at some step, as a runner holds it in memory."""

    def __init__(self, session_id: str) -> None:
        self._random = random.Random(session_id)
        self.checkpoint = Checkpoint(
            session_id=session_id,
            concurrency_limit=8,
            state=VersionedState(messages=MessagesChannel(), extra=ExtrasChannel()),
        )
        self._step = -1

    def advance(self) -> None:
        """Run the next step."""
        self._step += 1
        now, step = self.checkpoint, self._step
        now.parent_id = now.checkpoint_id
        now.checkpoint_id = f"{step:020d}"
        now.step = step
        now.state.messages.items.append(self._message())
        now.state.messages.version = step + 1
        now.state.extra.entries["steps_left"] = str(STEPS - step)
        now.state.extra.version = step + 2
        now.created_at.CopyFrom(Timestamp(seconds=1_700_000_000 + step, nanos=self._random.randrange(10**9)))
        self._schedule(step)

    @property
    def state_bytes(self) -> int:
        """Size of the state."""
        return self.checkpoint.state.ByteSize()

    def full_save(self) -> SaveRequest:
        """A save that brings the whole state."""
        return SaveRequest(checkpoint=self.checkpoint)

    def delta_save(self) -> SaveRequest:
        """A save that brings what the last step has changed."""
        if self._step == 0:
            return self.full_save()
        request = SaveRequest(base_checkpoint_id=self.checkpoint.parent_id, delta=self._delta())
        request.checkpoint.MergeFrom(self._without_state())
        return request

    def _message(self) -> Message:
        role = self._random.choice(["user", "assistant", "tool"])
        return Message(role=role, content=self._random.randbytes(MESSAGE_BYTES // 2).hex())

    def _schedule(self, step: int) -> None:
        now, ran = self.checkpoint, NODES[step % len(NODES)]
        for name in ("ran_nodes", "frontier", "updated_channels"):
            now.ClearField(name)
        now.ran_nodes.append(NodeKind(custom=ran))
        now.frontier.append(NodeKind(custom=NODES[(step + 1) % len(NODES)]))
        now.updated_channels.extend(["messages", "extra"])
        now.versions_seen[ran].CopyFrom(ChannelVersions(versions={"messages": step, "extra": step + 1}))

    def _delta(self) -> StateDelta:
        state = self.checkpoint.state
        return StateDelta(
            messages=MessagesDelta(version=state.messages.version, append=state.messages.items[-1:]),
            extra=ExtrasDelta(version=state.extra.version, set={"steps_left": state.extra.entries["steps_left"]}),
        )

    def _without_state(self) -> Checkpoint:
        now = self.checkpoint
        return Checkpoint(**{field.name: value for field, value in now.ListFields() if field.name != "state"})
