"""States that change a little at every step, and stay of about one size."""

from itertools import cycle
from typing import Protocol

from benchmarks.text import Text

MESSAGE_BYTES = 100
PREPARED = 2_000
"""So many different messages are made before the clock starts."""


class Session(Protocol):
    """A session, of Lockstitch or of LangGraph."""

    def start_anew(self, contents: list[str]) -> None: ...
    def say(self, content: str) -> None: ...


class Changing:
    """A message is added at every step. When the state has grown by half, it starts again, as sessions are condensed.

    So its size goes from 80% to 120% of what is wanted, and its average is what is wanted.
    """

    def __init__(self, state_bytes: int, seed: object) -> None:
        text = Text(seed)
        self._contents = cycle([text.take(MESSAGE_BYTES) for _ in range(PREPARED)])
        self._least = int(state_bytes * 0.8 / MESSAGE_BYTES)
        self._most = int(state_bytes * 1.2 / MESSAGE_BYTES)
        self._count = self._most

    def change(self, session: Session) -> None:
        """The next step of the session."""
        if self._count < self._most:
            session.say(next(self._contents))
            self._count += 1
        else:
            session.start_anew([next(self._contents) for _ in range(self._least)])
            self._count = self._least
