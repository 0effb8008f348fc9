"""What a session may take in a store, as a multiple of its final state and bytes for every step."""

from typing import NamedTuple


class Limit(NamedTuple):
    """A bound on stored bytes."""

    states: float
    """Times the final state."""
    step: int
    """Bytes for every step on top of that."""

    def bytes(self, state: int, steps: int) -> int:
        """The bound for a session."""
        return int(self.states * state) + self.step * steps


LIMITS = {"sqlite": Limit(1.2, 400), "postgres": Limit(1.5, 500)}
GRAPH = Limit(1.5, 1024)
"""What a graph's thread may add to an empty store, as a multiple of its messages and bytes for every checkpoint."""
