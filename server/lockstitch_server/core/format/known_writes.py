"""What is known of a session's pending writes without reading them.

Most checkpoints are new, and a new checkpoint has no pending writes. So it is enough to know the greatest id that has
any, and the pending writes of the few checkpoints above that id.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lockstitch_server.core.format.rows import WriteSize

CheckpointName = tuple[str, str]
"""(namespace, checkpoint_id)."""
WriteName = tuple[str, int]
"""(task_id, index)."""


Sizes = Mapping[WriteName, WriteSize]
"""The pending writes of a checkpoint."""

MOST_WRITES = 256
NOTHING: Sizes = MappingProxyType({})


class KnownWrites(NamedTuple):
    """Which pending writes a session has. Immutable."""

    sizes: Mapping[CheckpointName, Sizes]
    """For some checkpoints: all pending writes of the checkpoint."""
    greatest: Mapping[str, str]
    """By namespace: above this id, only checkpoints in `sizes` have pending writes."""
    only: bool
    """Whether in all other namespaces only checkpoints in `sizes` have pending writes."""

    def of(self, namespace: str, checkpoint_id: str) -> Sizes | None:
        """The pending writes of a checkpoint; None: not known."""
        found = self.sizes.get((namespace, checkpoint_id))
        if found is not None:
            return found
        greatest = self.greatest_in(namespace)
        return NOTHING if greatest is not None and checkpoint_id > greatest else None

    def greatest_in(self, namespace: str) -> str | None:
        """The id above which only checkpoints in `sizes` have pending writes; None: not known."""
        return self.greatest.get(namespace, "" if self.only else None)

    def and_greatest(self, namespace: str, checkpoint_id: str) -> "KnownWrites":
        """This, and the greatest id of a namespace that has pending writes; "": no checkpoint has any."""
        return self._replace(greatest={**self.greatest, namespace: checkpoint_id})

    def and_sizes(self, found: Mapping[CheckpointName, Sizes]) -> "KnownWrites":
        """This, and all pending writes of some checkpoints. Keeps the newest MOST_WRITES; forgets the others."""
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
        return KnownWrites(kept, greatest, self.only)

    def _raise_to(self, greatest: dict[str, str], namespace: str, checkpoint_id: str) -> None:
        """Note that a checkpoint has pending writes, if anything is known of its namespace."""
        before = greatest.get(namespace, "" if self.only else None)
        if before is not None:
            greatest[namespace] = max(before, checkpoint_id)


def by_name(sizes: Iterable[WriteSize]) -> dict[WriteName, WriteSize]:
    """Pending writes of a checkpoint by (task_id, index)."""
    return {(write.task_id, write.task_index): write for write in sizes}


UNKNOWN = KnownWrites({}, {}, only=False)
NONE = KnownWrites({}, {}, only=True)
