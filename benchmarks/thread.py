"""The same sessions as LangGraph has them: threads of checkpoints."""

from datetime import UTC, datetime
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.base.id import uuid6

from benchmarks.conversation import NODES, ROLES


class Thread:
    """A session, as a graph holds it in memory. `saver`: where it is saved."""

    def __init__(self, saver: Any, thread_id: str) -> None:
        self.messages: list[dict[str, str]] = []
        self.turns = 0
        self._saver = saver
        self._config: dict[str, Any] = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}

    def start_anew(self, contents: list[str]) -> None:
        """Forget what was said, and begin with this."""
        self.messages = [{"role": ROLES[number % 3], "content": content} for number, content in enumerate(contents)]
        self.turns += 1

    def say(self, content: str) -> None:
        """The next step: a message more."""
        self.messages.append({"role": ROLES[self.turns % 3], "content": content})
        self.turns += 1

    async def save(self) -> None:
        """Save the whole state, which is what a saver takes."""
        version = f"{self.turns:032}.0"
        checkpoint = {
            "v": 4,
            "id": str(uuid6(clock_seq=self.turns)),
            "ts": datetime.now(UTC).isoformat(),
            "channel_values": {"messages": self.messages, "turn": self.turns},
            "channel_versions": {"messages": version, "turn": version},
            "versions_seen": {NODES[self.turns % 3]: {"messages": version}},
            "updated_channels": ["messages", "turn"],
        }
        metadata = {"source": "loop", "step": self.turns, "parents": {}}
        new = checkpoint["channel_versions"]
        self._config = await self._saver.aput(self._config, checkpoint, metadata, new)

    async def load(self) -> CheckpointTuple:
        """Load the latest checkpoint."""
        return await load_latest(self._saver, self._config["configurable"]["thread_id"])


async def load_latest(saver: Any, thread_id: str) -> CheckpointTuple:
    """The latest checkpoint of a thread."""
    found: CheckpointTuple | None = await saver.aget_tuple(
        {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    )
    if found is None:
        raise LookupError(thread_id)
    return found
