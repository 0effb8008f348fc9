"""How session ids appear in traces and logs: some callers put secrets into them."""

import hashlib
from typing import Literal

Policy = Literal["plain", "hash", "none"]
HASH_DIGITS = 16


class SessionIds:
    """Shows session ids as the setting `session_id_logging` says."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def shown(self, session_id: str) -> str:
        """The id itself, the first 16 digits of its SHA-256, or nothing."""
        if self._policy == "plain" or not session_id:
            return session_id
        if self._policy == "none":
            return ""
        return hashlib.sha256(session_id.encode()).hexdigest()[:HASH_DIGITS]
