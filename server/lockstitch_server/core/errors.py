"""Failures that a caller is told about."""

from enum import StrEnum
from typing import Self


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
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    SESSION_DELETED = "SESSION_DELETED"
    SESSION_ALREADY_EXISTS = "SESSION_ALREADY_EXISTS"
    LEASE_HELD = "LEASE_HELD"
    RESUME_TOO_OLD = "RESUME_TOO_OLD"
    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    RIGHT_MISSING = "RIGHT_MISSING"
    TENANT_FORBIDDEN = "TENANT_FORBIDDEN"
    RATE_LIMITED = "RATE_LIMITED"
    STORE_FULL = "STORE_FULL"
    STORE_READ_ONLY = "STORE_READ_ONLY"


class Failure(Exception):
    """A call cannot be done, for a reason that its caller may know.

    `message` and `metadata` reach the client as they are: they must hold no internals.
    """

    def __init__(self, reason: Reason, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}
        self.retry_after = 0.0
        """When it is worth while to try again, in seconds; 0: not known."""

    def after(self, seconds: float) -> Self:
        """The same, worth while to be tried again after so many seconds."""
        self.retry_after = seconds
        return self
