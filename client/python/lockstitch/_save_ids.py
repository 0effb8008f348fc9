"""The ids of saves. The server knows retries by them, and refuses a save that arrives after a later one.

A save may end without it being known whether it was stored. The same save again is a retry then, and has the same id.
"""

import hashlib
import itertools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lockstitch._draft import Draft
from lockstitch._errors import Aborted, FailedPrecondition, InvalidArgument, TooLarge
from lockstitch._fork import share
from lockstitch._wire import embedded, varint
from lockstitch.v1.checkpoint_pb2 import Checkpoint

MOST_UNSETTLED = 1024
SAVE_ID, WRITER, NUMBER = b"\x4a", b"\x09", b"\x10"
"""Tags of SaveRequest.save_id, SaveId.writer and SaveId.number."""
SETTLED = (Aborted, FailedPrecondition, InvalidArgument, TooLarge)
"""The server has decided about the save, and not stored it. After all other errors, an attempt may have been stored."""

Key = tuple[str, str, str]
"""(session_id, namespace, checkpoint_id)"""


@dataclass(slots=True)
class _Saves:
    """Saves of one checkpoint: those under way, and the last one of unknown outcome."""

    under_way: int = 0
    numbers: list[int] = field(default_factory=list)
    """Of those under way, and of those that have ended meanwhile and are stored, or may be."""
    open: tuple[bytes, int] | None = None
    """Digest and number of the last one of unknown outcome."""

    @property
    def can_retry(self) -> bool:
        """Whether the open save, made again, is a retry. Where a later one may be stored, it comes after that one."""
        return self.open is not None and self.open[1] >= max(self.numbers, default=0)


class SaveIds:
    """Numbers the saves of one client, in the order of the calls. Threads may share it."""

    def __init__(self) -> None:
        self.after_fork()
        share(self)

    def after_fork(self) -> None:
        """Be a new writer. A process that was forked must be one: its saves are none of its parent's."""
        self._writer = WRITER + (secrets.randbits(64) or 1).to_bytes(8, "little")
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._under_way: dict[Key, _Saves] = {}
        self._unsettled: OrderedDict[Key, _Saves] = OrderedDict()
        """Of checkpoints with an open save, and none under way."""

    def next(self) -> int:
        """The number of a save, which is taken when it is called, before it waits for anything."""
        return next(self._numbers)

    @contextmanager
    def identified(self, draft: Draft, number: int) -> Iterator[None]:
        """Give a save its id, and take note of how it ends."""
        key = (*draft.key, draft.checkpoint_id)
        number = self._enter(key, draft, number)
        draft.add_condition(embedded(SAVE_ID, self._writer + NUMBER + varint(number)))
        try:
            yield
        except SETTLED:
            self._leave(key, refused=number)
            raise
        except BaseException:
            self._leave(key, open_save=(_digest(draft), number))
            raise
        self._leave(key)

    def _enter(self, key: Key, draft: Draft, number: int) -> int:
        """Begin a save. Returns the number of the save that it repeats, else its own."""
        with self._lock:
            saves = self._under_way.get(key)
            if saves is None:
                saves = self._unsettled.pop(key) if key in self._unsettled else _Saves()
                self._under_way[key] = saves
            if saves.open is not None and saves.can_retry and saves.open[0] == _digest(draft):
                number, saves.open = saves.open[1], None  # of two equal ones, only one is the retry
            saves.under_way += 1
            saves.numbers.append(number)
            return number

    def _leave(self, key: Key, refused: int | None = None, open_save: tuple[bytes, int] | None = None) -> None:
        with self._lock:
            saves = self._under_way.get(key)
            if saves is None:
                return  # the process has been forked meanwhile
            saves.under_way -= 1
            if refused is not None:
                saves.numbers.remove(refused)
            if open_save and (saves.open is None or open_save[1] > saves.open[1]):
                saves.open = open_save
            if saves.under_way == 0:
                del self._under_way[key]
                if saves.can_retry:
                    self._remember(key, saves)

    def _remember(self, key: Key, saves: _Saves) -> None:
        saves.numbers.clear()
        self._unsettled[key] = saves
        if len(self._unsettled) > MOST_UNSETTLED:
            self._unsettled.popitem(last=False)


def _digest(draft: Draft) -> bytes:
    """Of the checkpoint, equal for equal ones: the order of a map's entries can differ."""
    ordered = Checkpoint.FromString(draft.data).SerializeToString(deterministic=True)
    return hashlib.blake2b(ordered, digest_size=16).digest()
