"""Why calls fail: the contract's `ErrorReason`, for the client and the server."""

from collections.abc import Sequence
from enum import StrEnum, auto

from lockstitch.v1.error_pb2 import ErrorReason

_PREFIX = "ERROR_REASON_"


class Reason(StrEnum):
    """Why a call failed: the names of `lockstitch.v1.ErrorReason` without their prefix.

    Example: `Reason.LEASE_LOST == "LEASE_LOST"`.
    """

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: Sequence[str]) -> str:
        """The name itself. Raises ValueError where the contract has no such reason."""
        return ErrorReason.Name(ErrorReason.Value(_PREFIX + name)).removeprefix(_PREFIX)

    INVALID_FIELD = auto()
    NOT_JSON = auto()
    INVALID_PAGE_TOKEN = auto()
    TOO_LARGE = auto()
    EXPECTED_LATEST_MISMATCH = auto()
    LEASE_LOST = auto()
    UNKNOWN_BASE = auto()
    BASE_CHANGED = auto()
    DELTA_MISMATCH = auto()
    SCHEMA_BEHIND = auto()
    CHECKPOINT_NOT_FOUND = auto()
    STORE_UNAVAILABLE = auto()
    OVERLOADED = auto()
    DRAINING = auto()
    DATA_LOSS = auto()
    INTERNAL = auto()
    SESSION_NOT_FOUND = auto()
    SESSION_DELETED = auto()
    SESSION_ALREADY_EXISTS = auto()
    LEASE_HELD = auto()
    RESUME_TOO_OLD = auto()
    CREDENTIALS_MISSING = auto()
    CREDENTIALS_INVALID = auto()
    RIGHT_MISSING = auto()
    TENANT_FORBIDDEN = auto()
    RATE_LIMITED = auto()
    STORE_FULL = auto()
    STORE_READ_ONLY = auto()
    SUPERSEDED = auto()
