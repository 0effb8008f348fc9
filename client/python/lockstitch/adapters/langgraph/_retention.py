"""Keeping the latest checkpoint of every namespace of a thread, and what its DeltaChannels are put together from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch._flows import Flows
from lockstitch._types import View
from lockstitch.adapters.langgraph import _sessions
from lockstitch.adapters.langgraph._channels import has_value
from lockstitch.adapters.langgraph._codec import from_message
from lockstitch.adapters.langgraph._metadata import COUNTERS, DELTA
from lockstitch.v1.checkpoint_pb2 import Checkpoint

PAGE = 1000


async def keep_latest(flows: Flows, serde: SerializerProtocol, thread_ids: Sequence[str]) -> None:
    """Delete the other checkpoints of these threads."""
    plain: list[str] = []
    others: list[str] = []
    for thread_id in thread_ids:
        (others if await _has_delta_channels(flows, thread_id) else plain).append(thread_id)
    await _sessions.prune(flows, plain, 1)
    for thread_id in others:
        await _sessions.prune(flows, [thread_id], await _needed(flows, serde, thread_id))


async def _has_delta_channels(flows: Flows, thread_id: str) -> bool:
    pages = flows.list_checkpoints(thread_id, metadata=DELTA, view=View.HEADER, page_size=1).pages()
    async with aclosing(pages):
        async for page in pages:
            if page.items:
                return True
    return False


async def _needed(flows: Flows, serde: SerializerProtocol, thread_id: str) -> int:
    """How many of the latest checkpoints have to stay in each namespace, so that all the latest can be loaded."""
    latest: dict[str, Checkpoint] = {}
    ids: defaultdict[str, list[str]] = defaultdict(list)
    items = aiter(flows.list_checkpoints(thread_id, view=View.HEADER, page_size=PAGE))
    async with aclosing(items):
        async for item in items:
            ids[item.checkpoint.namespace].append(item.checkpoint.checkpoint_id)
            latest.setdefault(item.checkpoint.namespace, item.checkpoint)
    oldest = {name: await _oldest(flows, serde, checkpoint) for name, checkpoint in latest.items()}
    return max(sum(known >= oldest[name] for known in ids[name]) for name in ids)


async def _oldest(flows: Flows, serde: SerializerProtocol, latest: Checkpoint) -> str:
    """The id of the farthest checkpoint that the latest one is put together from."""
    oldest = latest.checkpoint_id
    metadata: Mapping[str, Any] = from_message(serde, latest, {}, ()).metadata
    missing = set(metadata.get(COUNTERS) or ())
    if not missing:
        return oldest
    channels = [f"custom/{name}" for name in missing]
    walk = flows.walk_ancestors(latest.session_id, latest.checkpoint_id, namespace=latest.namespace, channels=channels)
    async with aclosing(walk):
        async for ancestor in walk:
            oldest = min(oldest, ancestor.checkpoint.checkpoint_id)
            missing -= {name for name, channel in ancestor.checkpoint.state.custom.items() if has_value(channel)}
            if not missing:
                break
    return oldest
