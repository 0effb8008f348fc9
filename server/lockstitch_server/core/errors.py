"""Failures that a caller is told about."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a call failed: the names of `lockstitch.v1.ErrorReason` without their prefix."""

    INVALID_FIELD = "INVALID_FIELD"
    NOT_JSON = "NOT_JSON"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"  # noqa: S105 - the name of a reason, not a secret
    TOO_LARGE = "TOO_LARGE"
    EXPECTED_LATEST_MISMATCH = "EXPECTED_LATEST_MISMATCH"
    LEASE_LOST = "LEASE_LOST"
    UNKNOWN_BASE = "UNKNOWN_BASE"
    BASE_CHANGED = "BASE_CHANGED"
    DELTA_MISMATCH = "DELTA_MISMATCH"
    SCHEMA_BEHIND = "SCHEMA_BEHIND"
    CHECKPOINT_NOT_FOUND = "CHECKPOINT_NOT_FOUND"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    DRAINING = "DRAINING"
    DATA_LOSS = "DATA_LOSS"
    INTERNAL = "INTERNAL"


class Failure(Exception):
    """A call cannot be done, for a reason that its caller may know.

    `message` and `metadata` reach the client as they are: they must hold no internals.
    """

    def __init__(self, reason: Reason, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}
