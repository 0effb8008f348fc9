"""Counts damaged sessions, and logs each once in a process."""

import structlog

MOST_KEYS = 10_000
"""Maximum keys that are remembered. Further sessions are counted and not logged."""

log = structlog.get_logger(__name__)


class DamageLog:
    """The damaged sessions that this process has found."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self.sessions = 0

    def note(self, key: bytes, met_by: str, problem: str) -> None:
        """Count and log a damaged session. met_by: what found it, such as "sweep"."""
        if key in self._keys:
            return
        self.sessions += 1
        if len(self._keys) < MOST_KEYS:
            self._keys.add(key)
            log.error("session_damaged", key=key.hex(), met_by=met_by, problem=problem)
