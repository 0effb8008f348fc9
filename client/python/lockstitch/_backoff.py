"""How long to wait before something is tried again."""

import random

from lockstitch._channel import RetryPolicy
from lockstitch._errors import LockstitchError, RateLimited

JITTER = 0.2
DEFAULT_SECONDS = 1.0
"""Where a server that wants less does not say how much less."""


def pause(policy: RetryPolicy, failures: int) -> float:
    """Seconds to wait after a number of failures in a row, 1 and above."""
    seconds = min(policy.initial_backoff * policy.multiplier ** min(failures - 1, 100), policy.max_backoff)
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - to spread clients, not to keep secrets


def told(error: LockstitchError) -> float:
    """Seconds to wait as the server says; somewhat more, so that not all come back at once."""
    return (error.retry_after or DEFAULT_SECONDS) * random.uniform(1, 1 + JITTER)  # noqa: S311 - as above


def wait(policy: RetryPolicy, failures: int, fault: LockstitchError | None) -> float:
    """Seconds before another attempt, after a number of failures in a row of which `fault` is the last."""
    return told(fault) if isinstance(fault, RateLimited) else pause(policy, failures)
