"""Failures as gRPC statuses with details that programs can read."""

import asyncio
from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.times import duration

DOMAIN = "lockstitch.dev"
DETAILS_KEY = "grpc-status-details-bin"
RETRY_SECONDS = 1.0
"""The delay before a retry that a response suggests, if nothing better is known."""
NANOS = 1_000_000_000
RETRIED = frozenset({Reason.LEASE_HELD, Reason.RATE_LIMITED})
"""Reasons that come with RetryInfo, beside all that are UNAVAILABLE."""

CODES: Mapping[Reason, grpc.StatusCode] = {
    Reason.INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.NOT_JSON: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_PAGE_TOKEN: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.EXPECTED_LATEST_MISMATCH: grpc.StatusCode.ABORTED,
    Reason.LEASE_LOST: grpc.StatusCode.ABORTED,
    Reason.SUPERSEDED: grpc.StatusCode.ABORTED,
    Reason.UNKNOWN_BASE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.BASE_CHANGED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.DELTA_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SCHEMA_BEHIND: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.CHECKPOINT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.OVERLOADED: grpc.StatusCode.UNAVAILABLE,
    Reason.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Reason.DATA_LOSS: grpc.StatusCode.DATA_LOSS,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
    Reason.SESSION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.SESSION_DELETED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SESSION_ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.LEASE_HELD: grpc.StatusCode.ABORTED,
    Reason.RESUME_TOO_OLD: grpc.StatusCode.OUT_OF_RANGE,
    Reason.CREDENTIALS_MISSING: grpc.StatusCode.UNAUTHENTICATED,
    Reason.CREDENTIALS_INVALID: grpc.StatusCode.UNAUTHENTICATED,
    Reason.RIGHT_MISSING: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TENANT_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Reason.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.STORE_FULL: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_READ_ONLY: grpc.StatusCode.UNAVAILABLE,
}


class AbortedCall(grpc.aio.AbortError):
    """A call that ends with a status code of gRPC that is no `Failure`."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of_error(error: BaseException) -> grpc.StatusCode:
    """The status code of a call that ends with an exception."""
    if isinstance(error, Failure):
        return code_of(error)
    if isinstance(error, AbortedCall):
        return error.code
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.INTERNAL


def code_of(failure: Failure) -> grpc.StatusCode:
    """The status code of a failure."""
    return CODES[failure.reason]


def status_of(failure: Failure) -> Status:
    """A failure as google.rpc.Status."""
    status = Status(code=code_of(failure).value[0], message=failure.message)
    status.details.extend(_packed(detail) for detail in _details(failure))
    return status


def _details(failure: Failure) -> list[Message]:
    metadata = dict(failure.metadata)
    details: list[Message] = [ErrorInfo(reason=failure.reason.value, domain=DOMAIN, metadata=metadata)]
    code = code_of(failure)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        violation = BadRequest.FieldViolation(field=metadata.get("field", ""), description=failure.message)
        details.append(BadRequest(field_violations=[violation]))
    elif code is grpc.StatusCode.UNAVAILABLE or failure.reason in RETRIED:
        seconds = failure.retry_after or RETRY_SECONDS
        details.append(RetryInfo(retry_delay=duration(round(seconds * NANOS))))
    elif code is grpc.StatusCode.NOT_FOUND:
        name, kind = metadata.get("session_id", ""), failure.reason.value.partition("_")[0].lower()
        details.append(ResourceInfo(resource_type=kind, resource_name=name, description=failure.message))
    elif code is grpc.StatusCode.FAILED_PRECONDITION:
        broken = PreconditionFailure.Violation(type=failure.reason.value, description=failure.message)
        details.append(PreconditionFailure(violations=[broken]))
    return details


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
