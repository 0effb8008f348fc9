"""Which ancestors the checkpoints of a session depend on: retention keeps them."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import TypeAlias

from google.protobuf.message import DecodeError

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.rows import CheckpointRow

Name: TypeAlias = tuple[str, str]
"""Namespace and checkpoint_id."""


def name_of(row: CheckpointRow) -> Name:
    """The name of a checkpoint in its session."""
    return row.namespace, row.checkpoint_id


def depends_on(row: CheckpointRow) -> str | None:
    """The farthest ancestor that a checkpoint needs; "" for none; None where damage hides it."""
    try:
        return Checkpoint.FromString(row.decoded().header).depends_on
    except (DecodeError, Failure):
        return None


class Ancestry:
    """Parents and dependencies of a session's checkpoints. Keeps no records, so a long session fits in memory."""

    def __init__(self) -> None:
        self._parents: dict[Name, str] = {}
        self._dependent: dict[Name, str | None] = {}

    def add(self, rows: Iterable[CheckpointRow], *, leaving: Container[Name] = ()) -> None:
        """Add checkpoints. leaving: those that retention would delete, whose own dependencies do not count."""
        for row in rows:
            name = name_of(row)
            self._parents[name] = row.parent_id
            farthest = "" if name in leaving else depends_on(row)
            if farthest != "":
                self._dependent[name] = farthest

    def needed(self) -> set[Name]:
        """The ancestors that checkpoints which stay depend on; all ancestors where damage hides how far.

        All as well where the named one is not found among them, or is in a ring of parents. Takes time and memory in
        proportion to the number of checkpoints, whatever they depend on.
        """
        distances, order = self._distances()
        found: set[Name] = set()
        for name in order:
            if distance := distances.get(name, 0):
                parent = self._parent(name)
                if parent in self._parents:
                    found.add(parent)
                    distances[parent] = max(distances.get(parent, 0), distance - 1)
        self._walk_rings(distances.keys() - order, distances, found)
        return found

    def _parent(self, name: Name) -> Name:
        return name[0], self._parents[name]

    def _distances(self) -> tuple[dict[Name, int], dict[Name, None]]:
        """How many parents each dependent checkpoint needs; and the checkpoints outside of rings, children first."""
        everything = len(self._parents)
        distances = {name: 0 if name[1] == far else everything for name, far in self._dependent.items()}
        children: defaultdict[Name, list[Name]] = defaultdict(list)
        for name in self._parents:
            children[self._parent(name)].append(name)
        roots = [name for name in self._parents if self._parent(name) not in self._parents]
        order: dict[Name, None] = {}
        way: dict[str, int] = {}  # from a root to where the walk is: the places of checkpoint_ids, in order
        left = [(root, False) for root in roots]
        while left:
            name, is_done = left.pop()
            if is_done:
                way.popitem()
                order[name] = None
                continue
            way[name[1]] = place = len(way)
            if (far := self._dependent.get(name)) in way and far is not None:
                distances[name] = place - way[far]
            left.append((name, True))
            left.extend((child, False) for child in children.get(name, ()))
        return distances, order

    def _walk_rings(self, names: Iterable[Name], distances: Mapping[Name, int], found: set[Name]) -> None:
        """Add all ancestors of these checkpoints, whose parents lead into rings."""
        walked: set[Name] = set()
        for start in names:
            name = start
            while name not in walked and (name != start or distances[start]):
                walked.add(name)
                name = self._parent(name)
                found.add(name)
