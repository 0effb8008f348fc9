"""The ids of saves. The server knows retries by them, and refuses a save that arrives after a later one.

A save may end without it being known whether it was stored. The same save again is a retry then, and has the same id.
"""

import hashlib
import itertools
import os
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from lockstitch._draft import Draft
from lockstitch._errors import Aborted, FailedPrecondition, InvalidArgument, TooLarge
from lockstitch._wire import embedded, varint
from lockstitch.v1.checkpoint_pb2 import Checkpoint

MOST_UNSETTLED = 1024
SAVE_ID, WRITER, NUMBER = b"\x4a", b"\x09", b"\x10"
"""Tags of SaveRequest.save_id, SaveId.writer and SaveId.number."""
SETTLED = (Aborted, FailedPrecondition, InvalidArgument, TooLarge)
"""The server has decided about the save, and not stored it. After all other errors, an attempt may have been stored."""

Key = tuple[str, str, str]
"""(session_id, namespace, checkpoint_id)"""


class SaveIds:
    """Numbers the saves of one client, in the order of the calls. Threads may share it."""

    def __init__(self) -> None:
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Be a new writer. A process that was forked must be one: its saves are none of its parent's."""
        self._writer = WRITER + (secrets.randbits(64) or 1).to_bytes(8, "little")
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._unsettled: OrderedDict[Key, tuple[bytes, int]] = OrderedDict()
        """Digest and number of saves of unknown outcome."""

    def next(self) -> int:
        """The number of a save, which is taken when it is called, before it waits for anything."""
        return next(self._numbers)

    @contextmanager
    def identified(self, draft: Draft, number: int) -> Iterator[None]:
        """Give a save its id, and take note of how it ends."""
        key = (*draft.key, draft.checkpoint_id)
        number = self._retried(key, draft, number) if self._unsettled else number
        draft.add_condition(embedded(SAVE_ID, self._writer + NUMBER + varint(number)))
        try:
            yield
        except SETTLED:
            raise
        except BaseException:
            self._note(key, draft, number)
            raise

    def _retried(self, key: Key, draft: Draft, number: int) -> int:
        """The number of the save that this one repeats, else its own."""
        with self._lock:
            digest, before = self._unsettled.pop(key, (b"", 0))
        return before if before and digest == _digest(draft) else number

    def _note(self, key: Key, draft: Draft, number: int) -> None:
        digest = _digest(draft)
        with self._lock:
            self._unsettled[key] = (digest, number)
            self._unsettled.move_to_end(key)
            if len(self._unsettled) > MOST_UNSETTLED:
                self._unsettled.popitem(last=False)


_all: "weakref.WeakSet[SaveIds]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for ids in list(_all):
        ids._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _digest(draft: Draft) -> bytes:
    """Of the checkpoint, equal for equal ones: the order of a map's entries can differ."""
    ordered = Checkpoint.FromString(draft.data).SerializeToString(deterministic=True)
    return hashlib.blake2b(ordered, digest_size=16).digest()
