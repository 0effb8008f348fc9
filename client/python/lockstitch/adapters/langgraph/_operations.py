"""What a saver does, written once: coroutines over the client's calls, which each side of it runs in its own way."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, get_serializable_checkpoint_metadata
from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch._api import Api
from lockstitch._types import Saved
from lockstitch.adapters.langgraph import _sessions
from lockstitch.adapters.langgraph._channels import MOST_ITEMS
from lockstitch.adapters.langgraph._codec import (
    Place,
    dependencies_of,
    from_message,
    to_config,
    to_message,
    to_writes,
)
from lockstitch.adapters.langgraph._dependencies import Dependencies, dependencies, missing
from lockstitch.adapters.langgraph._dumped import Dumped
from lockstitch.adapters.langgraph._fetched import fetch, load_header
from lockstitch.adapters.langgraph._grown import Content, grown, to_channel
from lockstitch.adapters.langgraph._history import History, history
from lockstitch.adapters.langgraph._leases import Leases
from lockstitch.adapters.langgraph._metadata import COUNTERS, RUN_ID, search_text
from lockstitch.adapters.langgraph._query import Query
from lockstitch.adapters.langgraph._revived import Revived
from lockstitch.adapters.langgraph._valued import Known, Valued, versions_of
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel

KEEP_LATEST, DELETE, DELETE_ALL = "keep_latest", "delete", "delete_all"
"""DELETE_ALL is what LangGraph's server says for DELETE."""
FORK = "fork"
"""The source, in the metadata, of a checkpoint that need not go on from the latest one."""


@dataclass(frozen=True)
class Settings:
    """What a saver and its copies have in common.

    leases: None where none are used. ttl: of sessions. tombstone: of deleted ones.
    """

    valued: Valued
    dumped: Dumped
    revived: Revived
    leases: Leases | None
    ttl: timedelta | float | None
    tombstone: timedelta | float


@dataclass(frozen=True, slots=True)
class Operations:
    """The saver's operations over one client, with one serializer."""

    api: Api
    serde: SerializerProtocol
    settings: Settings

    async def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that a config names; the latest where it names none."""
        place = Place.of(config)
        found = await fetch(self.api, self.settings.valued, place)
        if self.settings.leases:
            self.settings.leases.begin(place, found.checkpoint.checkpoint_id if found else "")
        return from_message(self.serde, *found, self.settings.revived.from_blob) if found else None

    async def put(
        self,
        config: RunnableConfig,
        checkpoint: Mapping[str, Any],
        metadata: Any,
        new_versions: Mapping[str, object],
    ) -> RunnableConfig:
        """Store a checkpoint whose parent is the one that the config names."""
        parent = Place.of(config)
        metadata = get_serializable_checkpoint_metadata(config, metadata)
        known = self.settings.valued.get(*parent.named)
        needed = await self._dependencies(parent, missing(checkpoint, metadata), known)
        dump, lists = self.settings.dumped.to_blob, known.lists if known else {}
        ready, contents = self._ready(known, lists, checkpoint, new_versions)
        message = to_message(self.serde, parent, checkpoint, metadata, ready, dump, needed, lists)
        await self._carry_on(message, parent, checkpoint, metadata, new_versions, known)
        saved = await self._save(message, forks=metadata.get("source") == FORK)
        self.settings.valued.put(message, saved.revision, contents)
        return to_config(config["configurable"]["thread_id"], parent.namespace or "", message.checkpoint_id)

    async def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        """Store what a task has written before its step has reached its checkpoint."""
        if not writes:
            return
        place = Place.of(config)
        pending = to_writes(self.serde, writes, task_id, task_path)
        if self.settings.leases:
            await self.settings.leases.save_writes(self.api, place, pending)
        else:
            await self.api.save_writes(place.thread_id, place.checkpoint_id, pending, namespace=place.ns)

    async def list(
        self,
        config: RunnableConfig | None,
        filter: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> AsyncGenerator[CheckpointTuple, None]:
        """Checkpoints, newest first."""
        query = Query.of(config, filter, before)
        left = limit
        if left is not None and left <= 0:
            return
        items = query.pages(self.api, left)
        async with aclosing(items):
            async for item in items:
                message, load = item.checkpoint, self.settings.revived.from_blob
                found = from_message(self.serde, message, message.state.custom, item.pending_writes, load)
                if not query.matches(found.metadata):
                    continue
                yield found
                left = None if left is None else left - 1
                if left == 0:
                    return

    async def history(self, config: RunnableConfig, channels: Sequence[str]) -> dict[str, History]:
        """What DeltaChannels are put together from."""
        return await history(self.api, self.serde, Place.of(config), channels)

    async def delete_threads(self, thread_ids: Sequence[str]) -> None:
        """Delete threads with all they have."""
        ids = [str(thread_id) for thread_id in thread_ids]
        await _sessions.delete(self.api, ids, self.settings.tombstone)
        if self.settings.leases:
            self.settings.leases.deleted(ids)

    async def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints, with their writes, of some runs."""
        for run_id in run_ids:
            text = search_text(RUN_ID, str(run_id))
            if text is None:
                raise ValueError("run_ids: an id is text of at most 4096 bytes as JSON")
            if self.settings.leases:
                await self.settings.leases.delete_checkpoints(self.api, {RUN_ID: text})
            else:
                await self.api.delete_checkpoints("", {RUN_ID: text})

    async def copy_thread(self, source: str, target: str) -> None:
        """Copy a thread."""
        await self.api.copy_session(str(source), str(target))

    async def prune(self, thread_ids: Sequence[str], strategy: str) -> None:
        """Delete what a strategy does not keep."""
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids are a sequence of ids, not one str")
        if strategy not in (KEEP_LATEST, DELETE, DELETE_ALL):
            raise ValueError(f"strategy is {KEEP_LATEST!r}, {DELETE!r} or {DELETE_ALL!r}, not {strategy!r}")
        if strategy != KEEP_LATEST:
            await self.delete_threads(thread_ids)
        else:
            await _sessions.prune(self.api, [str(thread_id) for thread_id in thread_ids], keep_last=1)

    async def release(self, thread_id: str) -> None:
        """Give the lease of a thread back."""
        if self.settings.leases:
            await self.settings.leases.release(self.api, str(thread_id))

    async def close(self) -> None:
        """Give all leases back."""
        if self.settings.leases:
            await self.settings.leases.close(self.api)

    def _ready(
        self,
        known: Known | None,
        lists: Mapping[str, CustomChannel],
        checkpoint: Mapping[str, Any],
        new_versions: Mapping[str, object],
    ) -> tuple[dict[str, CustomChannel], dict[str, Content]]:
        """Lists that need not be dumped whole, since the parent has them or their beginning; and lists of messages."""
        before = known.contents if known else {}
        versions = checkpoint.get("channel_versions", {})
        ready = _unmoved(lists, versions, new_versions)
        contents = {name: before[name] for name in ready if name in before}
        for name, value in checkpoint.get("channel_values", {}).items():
            if name in ready or (found := grown(self.serde, value, before.get(name))) is None:
                continue
            contents[name] = found.content
            old = lists.get(name)
            if old is not None and 0 < found.kept == len(old.list.items) and len(value) <= MOST_ITEMS:
                ready[name] = to_channel(self.serde, value, versions.get(name), self.settings.dumped.to_blob, old)
        return ready, contents

    async def _dependencies(self, parent: Place, channels: Sequence[str], known: Known | None) -> Dependencies:
        """What DeltaChannels without a value are restored from."""
        if not channels or not parent.checkpoint_id:
            return {}
        header = known.header if known else await load_header(self.api, parent)
        return dependencies(channels, parent.checkpoint_id, dependencies_of(self.serde, header))

    async def _save(self, message: Checkpoint, *, forks: bool) -> Saved:
        if self.settings.leases:
            return await self.settings.leases.save(self.api, message, self.settings.ttl, forks=forks)
        return await self.api.save(message, ttl=self.settings.ttl)

    async def _carry_on(
        self,
        message: Checkpoint,
        parent: Place,
        checkpoint: Mapping[str, Any],
        metadata: Mapping[str, Any],
        new_versions: Mapping[str, object],
        known: Known | None,
    ) -> None:
        """Fill in channels that have kept their version, and whose value the caller has left out.

        A DeltaChannel's value is left out because its history has it.
        """
        values, versions = checkpoint.get("channel_values", {}), checkpoint.get("channel_versions", {})
        told = {*values, *new_versions, *(metadata.get(COUNTERS) or ())}
        silent = {name: str(version) for name, version in versions.items() if name not in told}
        if not silent or not message.parent_id:
            return
        if known is not None and not any(known.versions.get(name) == version for name, version in silent.items()):
            return
        loaded = await fetch(self.api, self.settings.valued, parent)
        if loaded is None:
            return
        valued = versions_of(loaded.channels)
        for name, version in silent.items():
            if valued.get(name) == version:
                message.state.custom[name].CopyFrom(loaded.channels[name])


def _unmoved(
    lists: Mapping[str, CustomChannel], versions: Mapping[str, object], new_versions: Mapping[str, object]
) -> dict[str, CustomChannel]:
    """Lists that have kept their version since the parent: they need not be dumped again."""
    return {
        name: channel
        for name, channel in lists.items()
        if name not in new_versions and name in versions and channel.version == str(versions[name])
    }
