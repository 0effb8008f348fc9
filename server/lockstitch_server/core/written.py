"""What is known of a session's pending writes without asking for them.

Checkpoints are new more often than not, and nothing has been written to new ones: it is enough to know up to which id
there are any, and those of the few checkpoints that come after it.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

CheckpointName = tuple[str, str]
"""(namespace, checkpoint_id)."""
WriteName = tuple[str, int]
"""(task_id, index)."""


class WriteSize(NamedTuple):
    """How large a pending write is."""

    task_id: str
    task_index: int
    size: int
    """Of its message."""
    stored: int
    """Of its row; 0 where that counts for another one."""
    crc: int
    """The checksum of its row; 0 where that counts for another one, or is not known yet."""


Sizes = Mapping[WriteName, WriteSize]
"""The pending writes of a checkpoint."""

MOST_WRITES = 256
NOTHING: Sizes = MappingProxyType({})


class Written(NamedTuple):
    """Which pending writes a session has, as far as that is known. Nothing of it is ever changed."""

    sizes: Mapping[CheckpointName, Sizes]
    """Those of some checkpoints, all of them each."""
    greatest: Mapping[str, str]
    """By namespace, an id above which no checkpoint has any but those in `sizes`."""
    only: bool
    """Whether other namespaces have none but those in `sizes`."""

    def of(self, namespace: str, checkpoint_id: str) -> Sizes | None:
        """Those of a checkpoint; None where they are not known."""
        found = self.sizes.get((namespace, checkpoint_id))
        if found is not None:
            return found
        greatest = self.greatest_in(namespace)
        return NOTHING if greatest is not None and checkpoint_id > greatest else None

    def greatest_in(self, namespace: str) -> str | None:
        """An id above which no checkpoint of a namespace has any but those in `sizes`; None where none is known."""
        return self.greatest.get(namespace, "" if self.only else None)

    def and_greatest(self, namespace: str, checkpoint_id: str) -> "Written":
        """This, and the greatest id of a namespace that has any; "" for none."""
        return self._replace(greatest={**self.greatest, namespace: checkpoint_id})

    def and_sizes(self, found: Mapping[CheckpointName, Sizes]) -> "Written":
        """This, and all that some checkpoints have. What was told first is forgotten where it gets too much."""
        told = {name: sizes for name, sizes in found.items() if sizes}
        if not told:
            return self
        kept = {name: sizes for name, sizes in self.sizes.items() if name not in told} | told
        greatest, count = dict(self.greatest), sum(map(len, kept.values()))
        for name in list(kept):
            if count <= MOST_WRITES:
                break
            count -= len(kept.pop(name))
            self._raise_to(greatest, *name)
        return Written(kept, greatest, self.only)

    def _raise_to(self, greatest: dict[str, str], namespace: str, checkpoint_id: str) -> None:
        """Take note that a checkpoint has some, if anything is known of its namespace."""
        before = greatest.get(namespace, "" if self.only else None)
        if before is not None:
            greatest[namespace] = max(before, checkpoint_id)


def by_name(sizes: Iterable[WriteSize]) -> dict[WriteName, WriteSize]:
    """Pending writes of a checkpoint by what tells them apart."""
    return {(write.task_id, write.task_index): write for write in sizes}


UNKNOWN = Written({}, {}, only=False)
NONE = Written({}, {}, only=True)
