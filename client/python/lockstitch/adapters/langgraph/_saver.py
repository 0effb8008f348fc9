"""The saver: LangGraph's interface over `Operations`, blocking and asynchronous."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import timedelta
from random import random
from types import TracebackType
from typing import Any, Literal, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch._client import DEFAULT_TARGET
from lockstitch._transport import iterate, run
from lockstitch.adapters._connections import Connections
from lockstitch.adapters.langgraph._dumped import Dumped
from lockstitch.adapters.langgraph._json import JsonSerializer
from lockstitch.adapters.langgraph._leases import LeasePolicy, Leases
from lockstitch.adapters.langgraph._operations import KEEP_LATEST, Operations, Settings
from lockstitch.adapters.langgraph._revived import Revived
from lockstitch.adapters.langgraph._valued import Valued


class LockstitchSaver(BaseCheckpointSaver[Any]):
    """Keeps the checkpoints of LangGraph's threads on a Lockstitch server.

    One saver serves any number of graphs, threads and event loops. Its synchronous methods block on a connection of
    their own, and may be called from anywhere; its connections are opened when they are needed. Use it in `with` or
    `async with`, or call `close()` or `aclose()` at the end.

    target: where the server is, as for `lockstitch.Client`.
    serde: how values are encoded; LangGraph's own where none is given. "json": as JSON, wherever that is exact, for
        readers in other languages (see `JsonSerializer`).
    lease: whether a thread has one writer at a time, and for how long: others raise `lockstitch.LeaseHeld`.
    ttl: a thread ends this long after its last checkpoint, 1 second or more; a number means seconds. None: the
        thread's setting stays as it is, which is for ever unless somebody has said otherwise.
    tombstone: how long a deleted thread cannot be created again, so that a run that is still under way does not bring
        it back; a number means seconds. 0: it can at once.
    options: anything else that `lockstitch.Client` takes, such as `credentials`, `metadata` and `timeout`.

    Methods raise the `LockstitchError`s that the client raises.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        serde: SerializerProtocol | Literal["json"] | None = None,
        lease: LeasePolicy | bool = False,
        ttl: timedelta | float | None = None,
        tombstone: timedelta | float = 0,
        **options: Any,
    ) -> None:
        super().__init__(serde=JsonSerializer() if serde == "json" else serde)
        # `with_allowlist` makes shallow copies, which share these.
        self._connections = Connections(target, options)
        policy = LeasePolicy() if lease is True else lease or None
        leases = Leases(policy, self._connections.blocking) if policy else None
        self._settings = Settings(Valued(), Dumped(), Revived(), leases, ttl, tombstone)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that a config names, the latest where it names none; None: there is no such checkpoint."""
        return run(self._blocking().get_tuple(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await self._asynchronous().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, fetched as they are needed.

        config: whose; without a checkpoint_ns those of all namespaces ("" is the root), None: those of all threads.
        filter: metadata entries that they all have.
        before: only ids below this one.
        limit: the maximum number.
        """
        return iterate(self._blocking().list(config, filter, before, limit))

    def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[CheckpointTuple, None]:
        """As `list`."""
        return self._asynchronous().list(config, filter, before, limit)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, whose parent is the one that the config names; when this returns, it is durable."""
        return run(self._blocking().put(config, checkpoint, metadata, new_versions))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await self._asynchronous().put(config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task has written, with the checkpoint from which its step has started."""
        run(self._blocking().put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        await self._asynchronous().put_writes(config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with all it has."""
        run(self._blocking().delete_threads([thread_id]))

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await self._asynchronous().delete_threads([thread_id])

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints, with their writes, that have been made in some runs."""
        run(self._blocking().delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await self._asynchronous().delete_for_runs(run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all it has, inside the database. Raises NotFound, AlreadyExists."""
        run(self._blocking().copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `copy_thread`."""
        await self._asynchronous().copy_thread(source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = KEEP_LATEST) -> None:
        """Delete old checkpoints of threads.

        strategy: "keep_latest" keeps the latest checkpoint of each namespace, and what its DeltaChannels are put
            together from; "delete" keeps nothing, and so does "delete_all", which is what LangGraph's server says.
        """
        run(self._blocking().prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = KEEP_LATEST) -> None:
        """As `prune`."""
        await self._asynchronous().prune(thread_ids, strategy)

    def get_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """What DeltaChannels are put together from: a DeltaChannelHistory for each, in one call."""
        return run(self._blocking().history(config, channels))

    async def aget_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """As `get_delta_channel_history`."""
        return await self._asynchronous().history(config, channels)

    def release_thread(self, thread_id: str) -> None:
        """Give the lease of a thread back, so that others may write to it at once."""
        run(self._blocking().release(thread_id))

    async def arelease_thread(self, thread_id: str) -> None:
        """As `release_thread`."""
        await self._asynchronous().release(thread_id)

    def get_next_version(self, current: Any, channel: None = None) -> Any:
        """The version after another: numbers, unless the thread has come from a saver that has its own kind.

        Content is not told by versions, so those of forks may be the same.
        """
        if current is None:
            return 1
        if isinstance(current, str):  # LangGraph's SQL savers have these
            return f"{int(current.split('.')[0]) + 1:032}.{random():016}"  # noqa: S311 - tells versions apart
        return int(current) + 1

    def close(self) -> None:
        """Give all leases back and close the connection of the synchronous methods. May be repeated."""
        run(self._blocking().close())
        self._connections.close()

    async def aclose(self) -> None:
        """Give all leases back and close the connections of this event loop. May be repeated."""
        await self._asynchronous().close()
        await self._connections.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _blocking(self) -> Operations:
        return Operations(self._connections.blocking(), self.serde, self._settings)

    def _asynchronous(self) -> Operations:
        return Operations(self._connections.asynchronous(), self.serde, self._settings)
