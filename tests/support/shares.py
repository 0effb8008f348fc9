"""How often the examples of a property test were of a kind, which the test asserts: else it may compare nothing.

Such a test has the same examples in every run (`derandomize`): shares of other ones would fall below a bound by chance.
"""

from collections import Counter


class Shares:
    """Counts examples by kinds."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._all = 0

    def note(self, *kinds: str) -> None:
        """An example that is of these kinds."""
        self._all += 1
        self._counts.update(set(kinds))

    def assert_at_least(self, share: float, kind: str) -> None:
        """So large a share of all examples was of a kind."""
        assert self._all, "no example was noted"
        assert self._counts[kind] >= share * self._all, f"{kind}: {self._counts[kind]} of {self._all} examples"
