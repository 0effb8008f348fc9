"""What a client remembers of its last saves, to send the next ones as deltas."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch._delta import Snapshot
from lockstitch._fork import share

MEBIBYTE = 1024 * 1024
Key = tuple[str, str]
"""(session_id, namespace)"""


@dataclass(frozen=True, slots=True)
class DeltaPolicy:
    """How much a client remembers so that it can send what changed instead of whole states.

    max_entries: of how many sessions (each namespace counts) the last saved state is kept.
    max_bytes: how many bytes these states may have together. The least recently saved are forgotten first; a state
        larger than all this is not remembered.
    """

    max_entries: int = 1024
    max_bytes: int = 64 * MEBIBYTE

    def __post_init__(self) -> None:
        if self.max_entries < 1 or self.max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be above 0; delta=False is for none")


class Base(NamedTuple):
    """A state that the server has acknowledged, under this id, in this revision."""

    checkpoint_id: str
    revision: int
    snapshot: Snapshot


class Memory:
    """The last acknowledged state of each session, within bounds. Threads may share it."""

    def __init__(self, policy: DeltaPolicy) -> None:
        self._policy = policy
        self.after_fork()
        share(self)

    def after_fork(self) -> None:
        """Remember nothing: a thread that was adding a state at the fork has not finished in the child."""
        self._lock = threading.Lock()
        self._bases: OrderedDict[Key, tuple[Base, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key) -> Base | None:
        """The state to start from, if it is known."""
        with self._lock:
            return self._bases.get(key, (None, 0))[0]

    def put(self, key: Key, base: Base) -> None:
        """Remember an acknowledged state in place of the one before; forget the oldest where there is no room."""
        size = base.snapshot.size + len(key[0]) + len(key[1])
        with self._lock:
            self._drop(key)
            if size > self._policy.max_bytes:
                return
            self._bases[key] = (base, size)
            self._bytes += size
            while self._bytes > self._policy.max_bytes or len(self._bases) > self._policy.max_entries:
                self._drop(next(iter(self._bases)))

    def _drop(self, key: Key) -> None:
        _, size = self._bases.pop(key, (None, 0))
        self._bytes -= size
