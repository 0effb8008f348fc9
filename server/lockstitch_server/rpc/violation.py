"""A rule of the contract that a request breaks."""

from lockstitch_server.core.errors import Failure, Reason

LONGEST = 2000
"""Characters of what a caller is told: names in it may be anything."""


class Violation(Exception):
    """What is wrong with a value. On its way up it learns the path, so that a good request pays for no paths."""

    def __init__(self, problem: str, limit: int | None = None, *, field: str = "", json: bool = False) -> None:
        super().__init__(problem)
        self._problem = problem
        self._limit = limit
        self._reason = Reason.NOT_JSON if json else Reason.INVALID_FIELD
        self.path = field

    def under(self, step: str) -> "Violation":
        """The same, one step further up: a field's name, or "[...]" for an item."""
        separator = "" if not self.path or self.path.startswith(("[", " ")) else "."
        self.path = f"{step}{separator}{self.path}"
        return self

    def failure(self) -> Failure:
        """What the caller is told."""
        metadata: dict[str, object] = {"field": self.path[:LONGEST]}
        if self._limit is not None:
            metadata["limit"] = self._limit
        return Failure(self._reason, f"{self.path}: {self._problem}"[:LONGEST], **metadata)
