"""Sessions as agents have them: at every step a message is appended, and a small extra entry changes."""

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

ROLES = ("user", "assistant", "tool")
NODES = ("plan", "act", "observe")


class Conversation:
    """A session, as a runner of Lockstitch holds it in memory."""

    def __init__(self, session_id: str) -> None:
        self.checkpoint = Checkpoint(
            session_id=session_id,
            concurrency_limit=8,
            state=VersionedState(messages=MessagesChannel(), extra=ExtrasChannel()),
        )
        self.turns = 0

    def start_anew(self, contents: list[str]) -> None:
        """Forget what was said, and begin with this."""
        del self.checkpoint.state.messages.items[:]
        for number, content in enumerate(contents):
            self.checkpoint.state.messages.items.append(Message(role=ROLES[number % 3], content=content))
        self._next_step()

    def say(self, content: str) -> None:
        """The next step: a message more."""
        self.checkpoint.state.messages.items.append(Message(role=ROLES[self.turns % 3], content=content))
        self._next_step()

    def full_save(self) -> bytes:
        """A SaveRequest that brings the whole state."""
        return SaveRequest(checkpoint=self.checkpoint).SerializeToString()

    def delta_save(self) -> bytes:
        """A SaveRequest that brings what the last step has changed."""
        if self.turns == 1:
            return self.full_save()
        now = self.checkpoint
        header = Checkpoint(**{field.name: value for field, value in now.ListFields() if field.name != "state"})
        messages, extra = now.state.messages, now.state.extra
        delta = StateDelta(
            messages=MessagesDelta(version=messages.version, append=messages.items[-1:]),
            extra=ExtrasDelta(version=extra.version, set=extra.entries),
        )
        return SaveRequest(checkpoint=header, base_checkpoint_id=now.parent_id, delta=delta).SerializeToString()

    def _next_step(self) -> None:
        now, step = self.checkpoint, self.turns
        now.parent_id, now.checkpoint_id, now.step = now.checkpoint_id, f"{step:020d}", step
        now.state.messages.version = now.state.extra.version = step + 1
        now.state.extra.entries["turn"] = str(step)
        for name in ("ran_nodes", "frontier", "updated_channels"):
            now.ClearField(name)
        now.ran_nodes.append(NodeKind(custom=NODES[step % 3]))
        now.frontier.append(NodeKind(custom=NODES[(step + 1) % 3]))
        now.updated_channels.extend(["messages", "extra"])
        now.versions_seen[NODES[step % 3]].CopyFrom(ChannelVersions(versions={"messages": step, "extra": step}))
        now.created_at.FromNanoseconds(1_800_000_000_123_456_789 + step * 1_000_003)
        self.turns += 1
