"""The storage: Agent Framework's interface over the client's calls."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from agent_framework import WorkflowCheckpoint, WorkflowCheckpointException

from lockstitch._client import DEFAULT_TARGET
from lockstitch._types import ListedCheckpoint, View
from lockstitch.adapters._connections import Closing, Connections
from lockstitch.adapters.agent_framework._codec import from_message, own_id, search, to_message

REMEMBERED = 4096
"""Checkpoints whose id on the server a storage remembers."""


class LockstitchCheckpointStorage(Closing):
    """Keeps the checkpoints of workflows in one session of a Lockstitch server.

    Give each conversation or job a session of its own, since `get_latest` finds the latest checkpoint of a workflow in
    it. One storage serves any number of workflows and event loops. Use it in `async with`, or call `close` at the end.

    session_id: the session, 1 to 255 bytes.
    target: where the server is, as for `lockstitch.AsyncClient`.
    allowed_checkpoint_types: classes of your own, "module:qualname", that a checkpoint may hold, as for
        `FileCheckpointStorage`.
    ttl: the session expires this long after its last checkpoint, 1 second or more; a number means seconds. None: the
        session's setting stays as it is.
    options: anything else that `lockstitch.AsyncClient` takes, such as `credentials`, `metadata` and `timeout`.

    Methods raise WorkflowCheckpointException and the `LockstitchError`s that the client raises.

        storage = LockstitchCheckpointStorage("order-42")
        workflow = WorkflowBuilder(start_executor=start, checkpoint_storage=storage).build()
    """

    def __init__(
        self,
        session_id: str,
        target: str = DEFAULT_TARGET,
        *,
        allowed_checkpoint_types: Sequence[str] = (),
        ttl: timedelta | float | None = None,
        **options: Any,
    ) -> None:
        self.session_id = session_id
        self._connections = Connections(target, options)
        self._allowed_types = frozenset(allowed_checkpoint_types)
        self._ttl = ttl
        self._stored_ids: dict[str, str] = {}

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Store a checkpoint; when this returns, it is durable. Returns its id."""
        parent_id = await self._stored_id(checkpoint.previous_checkpoint_id)
        message = to_message(self.session_id, checkpoint, parent_id, self._allowed_types)
        await self._connections.asynchronous().save(message, ttl=self._ttl)
        self._remember(checkpoint.checkpoint_id, message.checkpoint_id)
        return checkpoint.checkpoint_id

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """A checkpoint by its id. Raises WorkflowCheckpointException if there is none."""
        found = await self._find(checkpoint_id, View.FULL)
        if not found:
            raise WorkflowCheckpointException(f"no checkpoint has the id {checkpoint_id!r}")
        return self._read(found[-1])

    async def list_checkpoints(self, *, workflow_name: str) -> list[WorkflowCheckpoint]:
        """All checkpoints of a workflow, oldest first."""
        return [self._read(item) for item in await self._list(workflow_name, View.FULL)]

    async def list_checkpoint_ids(self, *, workflow_name: str) -> list[str]:
        """The ids of all checkpoints of a workflow, oldest first. No state is fetched."""
        return [own_id(item.checkpoint) for item in await self._list(workflow_name, View.HEADER)]

    async def get_latest(self, *, workflow_name: str) -> WorkflowCheckpoint | None:
        """The checkpoint of a workflow with the latest timestamp; None: there is none."""
        latest = await self._connections.asynchronous().load_latest(self.session_id, workflow_name)
        if latest.checkpoint is None:
            return None
        checkpoint = from_message(latest.checkpoint, self._allowed_types)
        self._remember(checkpoint.checkpoint_id, latest.checkpoint.checkpoint_id)
        return checkpoint

    async def delete(self, checkpoint_id: str) -> bool:
        """Delete a checkpoint. Returns whether there was one."""
        self._stored_ids.pop(checkpoint_id, None)
        answer = await self._connections.asynchronous().delete_checkpoints(self.session_id, search(checkpoint_id))
        return answer.deleted > 0

    async def _stored_id(self, checkpoint_id: str | None) -> str:
        """The id on the server; "" for none, and for a checkpoint that is not stored."""
        if checkpoint_id is None:
            return ""
        if checkpoint_id not in self._stored_ids:
            for item in await self._find(checkpoint_id, View.HEADER):
                self._remember(checkpoint_id, item.checkpoint.checkpoint_id)
        return self._stored_ids.get(checkpoint_id, "")

    async def _find(self, checkpoint_id: str, view: View) -> list[ListedCheckpoint]:
        api = self._connections.asynchronous()
        return _current(
            [item async for item in api.list_checkpoints(self.session_id, metadata=search(checkpoint_id), view=view)]
        )

    async def _list(self, workflow_name: str, view: View) -> list[ListedCheckpoint]:
        api = self._connections.asynchronous()
        return _current(
            [item async for item in api.list_checkpoints(self.session_id, namespace=workflow_name, view=view)]
        )

    def _read(self, item: ListedCheckpoint) -> WorkflowCheckpoint:
        checkpoint = from_message(item.checkpoint, self._allowed_types)
        self._remember(checkpoint.checkpoint_id, item.checkpoint.checkpoint_id)
        return checkpoint

    def _remember(self, checkpoint_id: str, stored: str) -> None:
        self._stored_ids.pop(checkpoint_id, None)
        self._stored_ids[checkpoint_id] = stored
        while len(self._stored_ids) > REMEMBERED:
            del self._stored_ids[next(iter(self._stored_ids))]


def _current(newest_first: Iterable[ListedCheckpoint]) -> list[ListedCheckpoint]:
    """Oldest first, and of a checkpoint that was saved again at another time the last save."""
    found: dict[str, ListedCheckpoint] = {}
    for item in newest_first:
        known = found.get(checkpoint_id := own_id(item.checkpoint))
        if known is None or known.revision < item.revision:
            found[checkpoint_id] = item
    return sorted(found.values(), key=lambda item: item.checkpoint.checkpoint_id)
