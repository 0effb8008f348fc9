"""The database's clock, as a server knows it between two transactions."""

import time


class DatabaseClock:
    """Goes on from the time that the database told last, so that a save can be planned without asking for it.

    It is behind by the time that an answer takes. The transaction checks the result against the clock itself.
    """

    def __init__(self) -> None:
        self._ahead = -time.monotonic_ns()

    def saw(self, now: int) -> None:
        """Set it to a time in ns that the database has just told."""
        self._ahead = now - time.monotonic_ns()

    def now(self) -> int:
        """The time in ns; near 0 as long as the database has told none."""
        return self._ahead + time.monotonic_ns()
