"""A fair queue: groups are served round robin, so a busy group delays only itself."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

E = TypeVar("E")


class Usage:
    """The items that wait, and their bytes."""

    __slots__ = ("bytes", "items")

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0


class Entry(NamedTuple, Generic[E]):
    """A value in the queue, and as how much it counts."""

    value: E
    items: int
    bytes: int
    enqueued_at: float = 0.0
    """By the monotonic clock, in seconds."""


class _Group(Usage, Generic[E]):
    """The entries of one group, first come first served."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        super().__init__()
        self.entries: deque[Entry[E]] = deque()


class FairQueue(Usage, Generic[E]):
    """A queue of entries of groups. One entry of each group is served in turn."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, _Group[E]] = {}  # the group to serve next comes first

    def __bool__(self) -> bool:
        return bool(self._groups)

    def append(self, name: str, entry: Entry[E]) -> None:
        """Add an entry at the end of the group of this name."""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
        group.entries.append(entry)
        items, size = entry.items, entry.bytes
        group.items += items
        group.bytes += size
        self.items += items
        self.bytes += size

    def first(self) -> Entry[E]:
        """The next entry. The queue must not be empty."""
        return next(iter(self._groups.values())).entries[0]

    def popleft(self) -> Entry[E]:
        """Remove the next entry. The queue must not be empty."""
        name, group = next(iter(self._groups.items()))
        entry = group.entries.popleft()
        items, size = entry.items, entry.bytes
        group.items -= items
        group.bytes -= size
        self.items -= items
        self.bytes -= size
        if not group.entries:
            del self._groups[name]
        elif len(self._groups) > 1:
            self._groups[name] = self._groups.pop(name)
        return entry

    def usage(self, name: str) -> Usage:
        """How much of a group waits."""
        return self._groups.get(name) or NOTHING

    def groups_with(self, name: str) -> int:
        """The number of groups that wait, with this one, which may wait or not."""
        return len(self._groups) + (name not in self._groups)


NOTHING = Usage()
