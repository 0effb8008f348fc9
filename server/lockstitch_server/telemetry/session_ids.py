"""How much of a session's id is told in traces and logs: some put into it what must not leave the database."""

import hashlib
from typing import Literal

Policy = Literal["plain", "hash", "none"]
HASH_DIGITS = 16


class SessionIds:
    """Session ids as they are told."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def shown(self, session_id: str) -> str:
        """What is told of an id: itself, the beginning of its SHA-256, or nothing."""
        if self._policy == "plain" or not session_id:
            return session_id
        if self._policy == "none":
            return ""
        return hashlib.sha256(session_id.encode()).hexdigest()[:HASH_DIGITS]
