"""The time that is left for several calls together."""

import time


class Deadline:
    """A moment that lies `timeout` seconds ahead."""

    def __init__(self, timeout: float) -> None:
        if timeout <= 0:
            raise ValueError("timeout is in seconds, above 0")
        self.seconds = timeout
        self._end = time.monotonic() + timeout

    @property
    def remaining(self) -> float:
        """Seconds until then; never below 0."""
        return max(0.0, self._end - time.monotonic())
