"""What was used last, within bounds of memory."""

from collections.abc import Hashable
from typing import Generic, TypeVar

MOST_BYTES = 32 * 1024 * 1024
OVERHEAD = 500
"""What an entry takes beside its bytes, about."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by name, the last of them, in 32 MiB. None of them is None. Threads may share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes // 2
        # The older ones are all forgotten when the newer ones have half of the room.
        self._newer: dict[K, V] = {}
        self._older: dict[K, V] = {}
        self._bytes = 0

    def get(self, name: K, size: int) -> V | None:
        """The value of this name and size, if it is known still."""
        found = self._newer.get(name)
        if found is None and (found := self._older.get(name)) is not None:
            self.put(name, found, size)
        return found

    def put(self, name: K, value: V, size: int) -> None:
        """Know a value. size: how many bytes it and its name have; too many are not kept."""
        size += OVERHEAD
        if size > self._most_bytes:
            return
        if self._bytes + size > self._most_bytes:
            self._older, self._newer, self._bytes = self._newer, {}, 0
        self._newer[name] = value
        self._bytes += size
