"""A rule of the contract that a request breaks."""

from lockstitch_server.core.errors import Failure, Reason

LONGEST = 2000
"""Characters of an error's text: names in it come from the request and may have any length."""


class Violation(Exception):
    """What is wrong with a value. The path is completed while the exception rises: valid requests pay nothing for it.

    problem: what is wrong and what to do, without the field. limit: the limit that the value breaks. path: the field,
    from the message that was being checked.
    """

    def __init__(
        self, problem: str, limit: int | None = None, *, path: str = "", reason: Reason = Reason.INVALID_FIELD
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.limit = limit
        self.path = path
        self.reason = reason

    def under(self, field: str) -> "Violation":
        """The same violation, seen from the message that holds `field`."""
        self.path = f"{field}.{self.path}" if self.path else field
        return self

    def failure(self) -> Failure:
        """The failure that the caller receives."""
        metadata: dict[str, object] = {"field": self.path[:LONGEST]}
        if self.limit is not None:
            metadata["limit"] = self.limit
        return Failure(self.reason, f"{self.path}: {self.problem}"[:LONGEST], **metadata)
