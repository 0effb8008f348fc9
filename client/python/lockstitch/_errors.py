"""What a failed call raises: one class per reason, decoded from the status details and never from a message's text."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from lockstitch import _wire
from lockstitch._reason import Reason
from lockstitch._tls_faults import Finding
from lockstitch.v1 import error_pb2

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "lockstitch.dev"
RETRY_INFO_URL = "type.googleapis.com/google.rpc.RetryInfo"
ERROR_INFO_URL = "type.googleapis.com/google.rpc.ErrorInfo"


class LockstitchError(Exception):
    """A call failed. The classes below say how; `code` and `reason` say it to programs.

    code: the gRPC status code.
    reason: a `Reason`, or another string where the server is newer than this library; "" where none was given.
    metadata: more about the reason; the keys are named in `error.proto`.
    retry_after: when the server says that it is worth while to try again, in seconds; None: it does not say.
    message: for people.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"


class InvalidArgument(LockstitchError):
    """The request breaks a rule of the contract: repeating it is in vain."""

    @property
    def field(self) -> str:
        """The field that breaks it, such as "checkpoint.session_id"."""
        return self.metadata.get("field", "")


class NotJson(InvalidArgument):
    """A field that must hold JSON text does not."""


class InvalidPageToken(InvalidArgument):
    """The page token is not one of this list with these filters."""


class ResourceExhausted(LockstitchError):
    """More than the server takes."""


class TooLarge(ResourceExhausted):
    """The request, or the state that it would make, is larger than the server takes."""


class RateLimited(ResourceExhausted):
    """The tenant makes more calls, or has more under way, than it may. Nothing was done: retrying later is safe."""


class Aborted(LockstitchError):
    """Somebody else was faster, or may write where this caller may not. Nothing was written."""


class ExpectedLatestMismatch(Aborted):
    """The latest checkpoint is not the expected one. Load it and decide again."""

    @property
    def latest_checkpoint_id(self) -> str | None:
        """Id of the latest checkpoint; None where there is none."""
        return self.metadata.get("latest_checkpoint_id")

    @property
    def latest_step(self) -> int | None:
        """Step of the latest checkpoint; None where there is none."""
        step = self.metadata.get("latest_step")
        return None if step is None else int(step)


class Superseded(Aborted):
    """The checkpoint holds a later save of this client, or another program has replaced this save. Load it."""


class LeaseLost(Aborted):
    """The lease token is not the one that may write now."""


class LeaseHeld(Aborted):
    """Another holds the session's lease."""

    @property
    def holder(self) -> str:
        """Who holds it, in the holder's own words."""
        return self.metadata.get("holder", "")


class FailedPrecondition(LockstitchError):
    """The state of the server does not allow the call."""


class DeltaRefused(FailedPrecondition):
    """A delta could not be applied. The clients send the full state then, so callers do not meet this."""


class UnknownBase(DeltaRefused):
    """The delta's base does not exist."""


class BaseChanged(DeltaRefused):
    """The delta's base has been replaced since."""


class DeltaMismatch(DeltaRefused):
    """The delta does not fit its base, or the server does not know all of it."""


class SchemaBehind(FailedPrecondition):
    """The database's schema is older than the server needs."""


class SessionDeleted(FailedPrecondition):
    """The session was deleted, and cannot be created again yet."""


class NotFound(LockstitchError):
    """No such checkpoint."""


class SessionNotFound(NotFound):
    """No such session."""


class AlreadyExists(LockstitchError):
    """The session to make is there already."""


class OutOfRange(LockstitchError):
    """What was asked for has gone by."""


class ResumeTooOld(OutOfRange):
    """The events since the resume token are gone. Load again, and watch without a token."""


class Unavailable(LockstitchError):
    """The server or its database is away, or has reset the call as it stopped.

    The clients have retried; retrying later is safe. A save may have been stored nevertheless.
    """


class NoConnection(Unavailable):
    """There is no connection to the server: it is not running, is not at this address, or refuses this connection.

    >>> lockstitch.Client("127.0.0.1:1").load_latest("s")
    lockstitch.NoConnection: UNAVAILABLE: no connection to 127.0.0.1:1: ipv4:127.0.0.1:1: Failed to connect to remote
    host: Connection refused

    cause: why: what is wrong with TLS and what to do, or what gRPC says.
    tls_fault: what is wrong with TLS; None: nothing, or it is not known.
    """

    def __init__(self, target: str, cause: str, tls_fault: Finding | None = None) -> None:
        self.cause = cause.rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
        super().__init__(f"no connection to {target}: {self.cause}", code=grpc.StatusCode.UNAVAILABLE)
        self.target = target
        self.tls_fault = tls_fault

    def __reduce__(self) -> tuple[type["NoConnection"], tuple[str, str, Finding | None]]:
        return type(self), (self.target, self.cause, self.tls_fault)


class StoreUnavailable(Unavailable):
    """The server's database cannot be reached, is full (`STORE_FULL`) or takes no writes (`STORE_READ_ONLY`)."""


class Overloaded(Unavailable):
    """The server has more work than it takes on."""


class Draining(Unavailable):
    """The server is stopping."""


class DeadlineExceeded(LockstitchError):
    """The server is connected, and has not answered in time.

    A save may have been stored nevertheless; saving the same again is safe.
    """


class Cancelled(LockstitchError):
    """The call was cancelled, such as by closing the client, and not by the server."""


class DataLoss(LockstitchError):
    """What is stored fails its checksum or is incomplete."""


class Internal(LockstitchError):
    """A fault of the server; its log has the error."""


class Unauthenticated(LockstitchError):
    """Credentials are missing or wrong."""


class PermissionDenied(LockstitchError):
    """The credentials do not allow this."""


class RightMissing(PermissionDenied):
    """The caller has not the right to this."""


class TenantForbidden(PermissionDenied):
    """The caller may not act for this tenant, or has to name one of its tenants."""


class Unimplemented(LockstitchError):
    """The server is older than this library, or not a Lockstitch server."""


_BY_REASON: dict[str, type[LockstitchError]] = {
    Reason.INVALID_FIELD: InvalidArgument,
    Reason.NOT_JSON: NotJson,
    Reason.INVALID_PAGE_TOKEN: InvalidPageToken,
    Reason.TOO_LARGE: TooLarge,
    Reason.EXPECTED_LATEST_MISMATCH: ExpectedLatestMismatch,
    Reason.LEASE_LOST: LeaseLost,
    Reason.UNKNOWN_BASE: UnknownBase,
    Reason.BASE_CHANGED: BaseChanged,
    Reason.DELTA_MISMATCH: DeltaMismatch,
    Reason.SCHEMA_BEHIND: SchemaBehind,
    Reason.CHECKPOINT_NOT_FOUND: NotFound,
    Reason.STORE_UNAVAILABLE: StoreUnavailable,
    Reason.OVERLOADED: Overloaded,
    Reason.DRAINING: Draining,
    Reason.DATA_LOSS: DataLoss,
    Reason.INTERNAL: Internal,
    Reason.SESSION_NOT_FOUND: SessionNotFound,
    Reason.SESSION_DELETED: SessionDeleted,
    Reason.SESSION_ALREADY_EXISTS: AlreadyExists,
    Reason.LEASE_HELD: LeaseHeld,
    Reason.RESUME_TOO_OLD: ResumeTooOld,
    Reason.CREDENTIALS_MISSING: Unauthenticated,
    Reason.CREDENTIALS_INVALID: Unauthenticated,
    Reason.RIGHT_MISSING: RightMissing,
    Reason.TENANT_FORBIDDEN: TenantForbidden,
    Reason.RATE_LIMITED: RateLimited,
    Reason.STORE_FULL: StoreUnavailable,
    Reason.STORE_READ_ONLY: StoreUnavailable,
    Reason.SUPERSEDED: Superseded,
}

# For errors without a known reason: those of proxies, of gRPC itself and of newer servers.
_BY_CODE: dict[grpc.StatusCode, type[LockstitchError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.DATA_LOSS: DataLoss,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _FailedCall(Protocol):
    """What the errors of grpc and grpc.aio have in common."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_rpc_error(error: grpc.RpcError, *, closed: bool = False) -> LockstitchError:
    """The exception for a call that gRPC, blocking or not, says has failed.

    closed: whether the client that made it has been closed since.
    """
    call = cast("_FailedCall", error)
    made = _make(call.code(), call.details() or "", _status_of(call))
    if not isinstance(made, Cancelled) or made.reason or closed:
        return made
    # Nobody here has cancelled it: a server that stops resets what it has not begun.
    return Unavailable(f"cancelled by the server: {made.message}", code=grpc.StatusCode.UNAVAILABLE)


def from_status(status: error_pb2.Status) -> LockstitchError:
    """The exception for a failure that stands inside an answer."""
    return _make(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


def _make(code: grpc.StatusCode, message: str, status: error_pb2.Status) -> LockstitchError:
    info = _error_info(status)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, LockstitchError)
    return kind(
        message, code=code, reason=_known(info.reason), metadata=info.metadata, retry_after=_retry_after(status)
    )


def _known(reason: str) -> str:
    return Reason(reason) if reason in Reason.__members__ else reason


def _status_of(call: _FailedCall) -> error_pb2.Status:
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return error_pb2.Status.FromString(value)
            except DecodeError:  # not ours: a proxy may write what it likes
                break
    return error_pb2.Status()


def _error_info(status: error_pb2.Status) -> error_pb2.ErrorInfo:
    for detail in status.details:
        if detail.type_url == ERROR_INFO_URL:
            with suppress(DecodeError):  # not ours: a proxy may write what it likes
                info = error_pb2.ErrorInfo.FromString(detail.value)
                if info.domain == DOMAIN:
                    return info
    return error_pb2.ErrorInfo()


def _retry_after(status: error_pb2.Status) -> float | None:
    """The delay of a google.rpc.RetryInfo, in seconds: a Duration, its first field."""
    for detail in status.details:
        if detail.type_url == RETRY_INFO_URL:
            try:
                found = next(_wire.fields(detail.value, 0, len(detail.value)))
                seconds = Duration.FromString(detail.value[found[2] : found[3]]).ToNanoseconds() / 1e9
                return seconds if seconds > 0 else None
            except (DecodeError, IndexError, StopIteration, ValueError):  # not ours: a proxy may write what it likes
                return None
    return None
