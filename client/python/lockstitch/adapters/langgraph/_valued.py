"""What the last checkpoint of a thread held, so that it need be neither dumped nor fetched again."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from lockstitch.adapters.langgraph._channels import has_value
from lockstitch.adapters.langgraph._grown import Content
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, TypedBlob

MOST_THREADS = 4096
MOST_BYTES = 64 * 1024 * 1024


class Known(NamedTuple):
    """A checkpoint as the server has it, in the revision in which its content was written.

    versions: of the channels that have a value. channels: all of them; None where they have been too large to keep.
    contents: of the lists of messages that this process has dumped itself.
    """

    checkpoint_id: str
    revision: int
    versions: Mapping[str, str]
    channels: Mapping[str, CustomChannel] | None
    header: TypedBlob
    size: int
    contents: Mapping[str, Content] = MappingProxyType({})

    @property
    def lists(self) -> dict[str, CustomChannel]:
        """Those of the channels that are lists."""
        return {name: channel for name, channel in (self.channels or {}).items() if channel.HasField("list")}


def versions_of(channels: Mapping[str, CustomChannel]) -> dict[str, str]:
    """The versions of the channels that have a value."""
    return {name: channel.version for name, channel in channels.items() if has_value(channel)}


class Valued:
    """Remembers one checkpoint of each (thread, namespace), 4096 of them, in 64 MiB. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._bytes = 0

    def put(self, message: Checkpoint, revision: int, contents: Mapping[str, Content] = MappingProxyType({})) -> None:
        """Remember a checkpoint that was saved or loaded, and that does not change any more.

        contents: of lists of messages that were saved.
        """
        size = message.ByteSize()
        channels = message.state.custom if size <= MOST_BYTES else None
        size = size if channels is not None else message.header.ByteSize()
        key = (message.session_id, message.namespace)
        with self._lock:
            self._forget(key)
            versions, header = versions_of(message.state.custom), TypedBlob()
            header.CopyFrom(message.header)  # a part of a message keeps all of it in memory
            self._known[key] = Known(message.checkpoint_id, revision, versions, channels, header, size, contents)
            self._bytes += size
            while self._bytes > MOST_BYTES or len(self._known) > MOST_THREADS:
                self._forget(next(iter(self._known)))

    def get(self, thread_id: str, namespace: str, checkpoint_id: str) -> Known | None:
        """The checkpoint of this id; None: it is not known."""
        known = self.last(thread_id, namespace)
        return known if known and known.checkpoint_id == checkpoint_id else None

    def last(self, thread_id: str, namespace: str) -> Known | None:
        """The checkpoint that was remembered last; None: it is not known."""
        with self._lock:
            return self._known.get((thread_id, namespace))

    def _forget(self, key: tuple[str, str]) -> None:
        known = self._known.pop(key, None)
        self._bytes -= known.size if known else 0
