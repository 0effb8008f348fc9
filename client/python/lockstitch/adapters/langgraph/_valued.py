"""What the last checkpoint of a thread held: which channels had values, in which versions, and the lists among them."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from lockstitch.adapters.langgraph._channels import has_value
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel

MOST_THREADS = 4096
MOST_BYTES = 64 * 1024 * 1024


class Known(NamedTuple):
    """A checkpoint. `versions`: of the channels that have a value. `lists`: those that are lists, perhaps."""

    checkpoint_id: str
    versions: Mapping[str, str]
    lists: Mapping[str, CustomChannel]
    size: int


def versions_of(channels: Mapping[str, CustomChannel]) -> dict[str, str]:
    """The versions of the channels that have a value."""
    return {name: channel.version for name, channel in channels.items() if has_value(channel)}


class Valued:
    """Remembers one checkpoint of each (thread, namespace), 4096 of them. Threads may share it.

    Lists are kept as long as they have 64 MiB together, so that what has not changed need not be dumped again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._bytes = 0

    def put(self, message: Checkpoint) -> None:
        """Remember a checkpoint that was saved or loaded, and that does not change any more."""
        channels = message.state.custom
        lists = {name: channel for name, channel in channels.items() if channel.HasField("list")}
        size = message.ByteSize() if lists else 0  # which the lists keep in memory
        if size > MOST_BYTES:
            lists, size = {}, 0
        key = (message.session_id, message.namespace)
        with self._lock:
            self._forget(key)
            self._known[key] = Known(message.checkpoint_id, versions_of(channels), lists, size)
            self._bytes += size
            while self._bytes > MOST_BYTES or len(self._known) > MOST_THREADS:
                self._forget(next(iter(self._known)))

    def get(self, thread_id: str, namespace: str, checkpoint_id: str) -> Known | None:
        """None: it is not known."""
        with self._lock:
            known = self._known.get((thread_id, namespace))
        return known if known and known.checkpoint_id == checkpoint_id else None

    def _forget(self, key: tuple[str, str]) -> None:
        known = self._known.pop(key, None)
        self._bytes -= known.size if known else 0
