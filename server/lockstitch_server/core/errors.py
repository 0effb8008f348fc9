"""Failures that the response to a caller names."""

from typing import Self

from lockstitch import Reason

__all__ = ["Failure", "Reason"]


class Failure(Exception):
    """A call fails for a reason that its caller may know.

    `message` and `metadata` reach the client as they are: they must hold no internals.
    """

    def __init__(self, reason: Reason, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}
        self.retry_after = 0.0
        """Seconds until a retry may succeed; 0: not known."""

    def after(self, seconds: float) -> Self:
        """The same failure, with the number of seconds after which a retry may succeed."""
        self.retry_after = seconds
        return self
