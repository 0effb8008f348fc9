"""A queue in which groups take turns: who has put much in waits for himself, not others for him."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

E = TypeVar("E")


class Usage:
    """How much waits."""

    __slots__ = ("bytes", "items")

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0


class Entry(NamedTuple, Generic[E]):
    """What waits, and as how much it counts."""

    value: E
    items: int
    bytes: int
    came: float = 0.0
    """When, by the monotonic clock, where anybody wants to know."""


class _Line(Usage, Generic[E]):
    """The entries of one group, in their order."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        super().__init__()
        self.entries: deque[Entry[E]] = deque()


class FairQueue(Usage, Generic[E]):
    """Entries of groups. One of each group in turn comes out, those of a group in the order they went in."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, _Line[E]] = {}  # the group whose turn it is comes first

    def __bool__(self) -> bool:
        return bool(self._lines)

    def append(self, group: str, entry: Entry[E]) -> None:
        """Put an entry at the end of its group."""
        line = self._lines.get(group)
        if line is None:
            line = self._lines[group] = _Line()
        line.entries.append(entry)
        items, size = entry.items, entry.bytes
        line.items += items
        line.bytes += size
        self.items += items
        self.bytes += size

    def first(self) -> Entry[E]:
        """What comes out next. There must be something."""
        return next(iter(self._lines.values())).entries[0]

    def popleft(self) -> Entry[E]:
        """Take out what comes next. There must be something."""
        group, line = next(iter(self._lines.items()))
        entry = line.entries.popleft()
        items, size = entry.items, entry.bytes
        line.items -= items
        line.bytes -= size
        self.items -= items
        self.bytes -= size
        if not line.entries:
            del self._lines[group]
        elif len(self._lines) > 1:
            self._lines[group] = self._lines.pop(group)
        return entry

    def usage(self, group: str) -> Usage:
        """How much of one group waits."""
        return self._lines.get(group) or NOTHING

    def groups_with(self, group: str) -> int:
        """How many groups wait, this one counted whether it does or not."""
        return len(self._lines) + (group not in self._lines)


NOTHING = Usage()
