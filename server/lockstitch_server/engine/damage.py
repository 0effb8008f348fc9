"""Notes damaged sessions that were met: each is logged once by a process, and counted."""

import structlog

MOST_KEYS = 10_000
"""Keys that are remembered; sessions beyond are counted and not logged."""

log = structlog.get_logger(__name__)


class DamageLog:
    """Damaged sessions that this process has met."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self.sessions = 0

    def note(self, key: bytes, met_by: str, problem: str) -> None:
        """Take note of a damaged session. met_by: what came upon it, such as "sweep"."""
        if key in self._keys:
            return
        self.sessions += 1
        if len(self._keys) < MOST_KEYS:
            self._keys.add(key)
            log.error("session_damaged", key=key.hex(), met_by=met_by, problem=problem)
