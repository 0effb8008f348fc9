"""Heads of sessions, kept from one batch to the next so that the next need not read them again."""

from collections import OrderedDict
from collections.abc import Mapping

from lockstitch_server.core.records import Head

HEAD_BYTES = 2048
"""What a head takes in memory beside its records, about."""
RECORD_FACTOR = 6
"""A record in memory, parsed, to its packed bytes, about."""
TAIL_BYTES = 200
WRITE_BYTES = 200
NAMESPACE_BYTES = 200


class Heads:
    """The last heads that were put, within bounds of memory.

    Only speed depends on them: a plan that is made from a head holds only if its session is still the same in the
    store.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._heads: OrderedDict[bytes, tuple[Head, int]] = OrderedDict()

    def get(self, key: bytes) -> Head | None:
        """The head of a session, if it is known."""
        found = self._heads.get(key)
        return found[0] if found is not None else None

    def put(self, key: bytes, head: Head) -> None:
        """Keep a head in place of the one before; forget the oldest where there is no room."""
        self.drop(key)
        size = _size(head)
        self._heads[key] = (head, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._heads)))

    def update(self, heads: Mapping[bytes, Head]) -> None:
        """Keep many."""
        for key, head in heads.items():
            self.put(key, head)

    def drop(self, key: bytes) -> None:
        """Forget a head."""
        _, size = self._heads.pop(key, (None, 0))
        self._bytes -= size


def _size(head: Head) -> int:
    size = HEAD_BYTES
    for tail in head.tails.values():
        size += TAIL_BYTES + len(tail.data)
    for row in head.latest.values():
        if row is not None:
            size += RECORD_FACTOR * len(row.record)
    for sizes in head.written.sizes.values():
        size += WRITE_BYTES * len(sizes)
    return size + NAMESPACE_BYTES * len(head.written.greatest)
