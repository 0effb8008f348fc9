"""How long calls wait for a database that is away."""

import time
from collections.abc import Callable

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5


class Outage:
    """Calls wait for `seconds` from the first failure on. After that they fail at once, until one succeeds.

    So nothing waits for a database that stays away, and a failover that ends in time costs no call.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._since: float | None = None

    def begin(self, since: float) -> None:
        """Something that began at this time has failed."""
        self._since = since if self._since is None else min(self._since, since)

    def end(self) -> None:
        """The database works."""
        self._since = None

    def left(self, since: float) -> float:
        """How long, in seconds, a call that began at this time may still wait."""
        begun = since if self._since is None else min(self._since, since)
        return begun + self._seconds - self._now()

    def is_too_long(self, since: float) -> bool:
        """Whether the database is away, and a call that began at this time waits no longer."""
        return self._since is not None and self.left(since) <= 0


def pause(failures: int) -> float:
    """How long to wait, in seconds, before the next attempt. None before the first: another connection may do."""
    if failures <= 1:
        return 0.0
    return min(FIRST_PAUSE * 2.0 ** min(failures - 2, 10), LONGEST_PAUSE)
