"""What a DeltaChannel is put together from: the nearest ancestor's value, and the writes since."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch._api import Api
from lockstitch._errors import NotFound
from lockstitch.adapters.langgraph._channels import from_channel, has_value
from lockstitch.adapters.langgraph._codec import Place, from_write
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite

History = dict[str, Any]
"""`writes`, oldest first, and `seed` where an ancestor has a value: LangGraph's DeltaChannelHistory."""


async def history(api: Api, serde: SerializerProtocol, place: Place, channels: Sequence[str]) -> dict[str, History]:
    """The history of some channels, in one call."""
    collector = _Collector(serde, channels)
    if channels:
        walk = api.walk_ancestors(
            place.thread_id,
            place.checkpoint_id,
            namespace=place.ns,
            channels=[f"custom/{name}" for name in channels],
            include_writes=True,
            write_channels=channels,
        )
        try:
            async with aclosing(walk):
                async for ancestor in walk:
                    collector.add(ancestor.checkpoint, ancestor.pending_writes)
                    if not collector.remaining:
                        break
        except NotFound:
            pass  # no such checkpoint, no history
    return collector.result()


class _Collector:
    def __init__(self, serde: SerializerProtocol, channels: Sequence[str]) -> None:
        self._serde = serde
        self._writes: dict[str, list[PendingWrite]] = {name: [] for name in channels}
        self._seeds: History = {}
        self.remaining = set(channels)

    def add(self, checkpoint: Checkpoint, writes: Sequence[PendingWrite]) -> None:
        """The next ancestor. Its value comes before its writes, so those count even where it has one."""
        for write in reversed(writes):
            if write.channel in self.remaining:
                self._writes[write.channel].append(write)
        for name in list(self.remaining):
            channel = checkpoint.state.custom.get(name)
            if channel is not None and has_value(channel):
                self._seeds[name] = from_channel(self._serde, channel)
                self.remaining.remove(name)

    def result(self) -> dict[str, History]:
        return {name: self._history(name) for name in self._writes}

    def _history(self, name: str) -> History:
        found: History = {"writes": [from_write(self._serde, write) for write in reversed(self._writes[name])]}
        if name in self._seeds:
            found["seed"] = self._seeds[name]
        return found
