"""The appends of which it is not known whether they were stored, for a while: the same append again is a retry."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from lockstitch.v1.checkpoint_pb2 import BlobList, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest

SECONDS = 60.0
"""How long after its last attempt an append is remembered."""
MOST_APPENDS = 64
MOST_BYTES = 16 * 1024 * 1024
"""What is remembered at most. The oldest appends are forgotten first."""

Append = tuple[str, bytes]
"""The channel and the serialized items."""


def append_of(channel: str, items: Iterable[TypedBlob]) -> Append:
    """What makes two appends the same."""
    return channel, BlobList(items=items).SerializeToString(deterministic=True)


class _Attempt(NamedTuple):
    request: SaveRequest
    until: float


class UnsettledAppends:
    """The last attempt of each append that has no answer."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[Append, _Attempt] = OrderedDict()
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether there are any."""
        self._forget_old()
        return bool(self._attempts)

    def get(self, append: Append) -> SaveRequest | None:
        """The last attempt of an append; None: there was none, or it was answered."""
        self._forget_old()
        found = self._attempts.get(append)
        return found.request if found is not None else None

    def put(self, append: Append, request: SaveRequest) -> None:
        """Remember an attempt, in place of the one before."""
        self.remove(append)
        self._attempts[append] = _Attempt(request, time.monotonic() + SECONDS)
        self._bytes += len(append[1])
        while len(self._attempts) > 1 and (len(self._attempts) > MOST_APPENDS or self._bytes > MOST_BYTES):
            self.remove(next(iter(self._attempts)))

    def remove(self, append: Append) -> None:
        """Forget an append, which is settled."""
        if self._attempts.pop(append, None) is not None:
            self._bytes -= len(append[1])

    def clear(self) -> None:
        """Forget all."""
        self._attempts.clear()
        self._bytes = 0

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._attempts and next(iter(self._attempts.values())).until <= now:
            self.remove(next(iter(self._attempts)))
