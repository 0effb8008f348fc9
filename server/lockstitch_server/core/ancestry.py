"""Which ancestors the checkpoints of a session depend on: retention keeps them."""

from collections.abc import Container, Iterable
from typing import TypeAlias

from google.protobuf.message import DecodeError

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.records import CheckpointRow

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
        """The ancestors that checkpoints which stay depend on; all ancestors where damage hides how far."""
        found: set[Name] = set()
        walked: set[tuple[Name, str | None]] = set()
        for name, farthest in self._dependent.items():
            # Most checkpoints share the way to their ancestor: it is walked once.
            while (name, farthest) not in walked and name[1] != farthest:
                walked.add((name, farthest))
                name = (name[0], self._parents[name])
                if name not in self._parents:
                    break
                found.add(name)
        return found
