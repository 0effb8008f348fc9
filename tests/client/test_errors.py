"""What a failed call raises."""

import pickle

import grpc
import pytest

import lockstitch
from lockstitch import Checkpoint, LockstitchError, Reason
from lockstitch._errors import from_status
from lockstitch.v1.error_pb2 import ErrorInfo, ErrorReason, Status
from tests.client.either import Kind, open_client
from tests.client.scripted import fail, scripted_server

OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
"""Else what has failed on a port before, under another test, fails there for a while."""
ERROR_INFO_URL = "type.googleapis.com/google.rpc.ErrorInfo"


def details(reason: str, code: grpc.StatusCode, domain: str = "lockstitch.dev", **metadata: str) -> bytes:
    """A google.rpc.Status as a server sends it, with another detail before ErrorInfo."""
    status = Status(code=code.value[0], message="the message")
    status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff")
    info = ErrorInfo(reason=reason, domain=domain, metadata=metadata)
    status.details.add(type_url=ERROR_INFO_URL, value=info.SerializeToString())
    return status.SerializeToString()


async def error_of(kind: Kind, code: grpc.StatusCode, sent: bytes | None) -> LockstitchError:
    with scripted_server(fail(code, "the message", sent)) as server:
        async with open_client(kind, server.target, retry=False, options=[OWN_CONNECTION]) as client:
            with pytest.raises(LockstitchError) as caught:
                await client.save(Checkpoint(session_id="s"))
    return caught.value


REASONS = [
    (Reason.INVALID_FIELD, grpc.StatusCode.INVALID_ARGUMENT, lockstitch.InvalidArgument),
    (Reason.NOT_JSON, grpc.StatusCode.INVALID_ARGUMENT, lockstitch.NotJson),
    (Reason.INVALID_PAGE_TOKEN, grpc.StatusCode.INVALID_ARGUMENT, lockstitch.InvalidPageToken),
    (Reason.TOO_LARGE, grpc.StatusCode.RESOURCE_EXHAUSTED, lockstitch.TooLarge),
    (Reason.SUPERSEDED, grpc.StatusCode.ABORTED, lockstitch.Superseded),
    (Reason.EXPECTED_LATEST_MISMATCH, grpc.StatusCode.ABORTED, lockstitch.ExpectedLatestMismatch),
    (Reason.LEASE_LOST, grpc.StatusCode.ABORTED, lockstitch.LeaseLost),
    (Reason.UNKNOWN_BASE, grpc.StatusCode.FAILED_PRECONDITION, lockstitch.UnknownBase),
    (Reason.BASE_CHANGED, grpc.StatusCode.FAILED_PRECONDITION, lockstitch.BaseChanged),
    (Reason.DELTA_MISMATCH, grpc.StatusCode.FAILED_PRECONDITION, lockstitch.DeltaMismatch),
    (Reason.SCHEMA_BEHIND, grpc.StatusCode.FAILED_PRECONDITION, lockstitch.SchemaBehind),
    (Reason.CHECKPOINT_NOT_FOUND, grpc.StatusCode.NOT_FOUND, lockstitch.NotFound),
    (Reason.STORE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, lockstitch.StoreUnavailable),
    (Reason.OVERLOADED, grpc.StatusCode.UNAVAILABLE, lockstitch.Overloaded),
    (Reason.DRAINING, grpc.StatusCode.UNAVAILABLE, lockstitch.Draining),
    (Reason.DATA_LOSS, grpc.StatusCode.DATA_LOSS, lockstitch.DataLoss),
    (Reason.INTERNAL, grpc.StatusCode.INTERNAL, lockstitch.Internal),
    (Reason.SESSION_NOT_FOUND, grpc.StatusCode.NOT_FOUND, lockstitch.SessionNotFound),
    (Reason.SESSION_DELETED, grpc.StatusCode.FAILED_PRECONDITION, lockstitch.SessionDeleted),
    (Reason.SESSION_ALREADY_EXISTS, grpc.StatusCode.ALREADY_EXISTS, lockstitch.AlreadyExists),
    (Reason.LEASE_HELD, grpc.StatusCode.ABORTED, lockstitch.LeaseHeld),
    (Reason.RESUME_TOO_OLD, grpc.StatusCode.OUT_OF_RANGE, lockstitch.ResumeTooOld),
    (Reason.CREDENTIALS_MISSING, grpc.StatusCode.UNAUTHENTICATED, lockstitch.Unauthenticated),
    (Reason.CREDENTIALS_INVALID, grpc.StatusCode.UNAUTHENTICATED, lockstitch.Unauthenticated),
    (Reason.RIGHT_MISSING, grpc.StatusCode.PERMISSION_DENIED, lockstitch.RightMissing),
    (Reason.TENANT_FORBIDDEN, grpc.StatusCode.PERMISSION_DENIED, lockstitch.TenantForbidden),
    (Reason.RATE_LIMITED, grpc.StatusCode.RESOURCE_EXHAUSTED, lockstitch.RateLimited),
    (Reason.STORE_FULL, grpc.StatusCode.UNAVAILABLE, lockstitch.StoreUnavailable),
    (Reason.STORE_READ_ONLY, grpc.StatusCode.UNAVAILABLE, lockstitch.StoreUnavailable),
]


@pytest.mark.parametrize(("reason", "code", "expected"), REASONS, ids=str)
def test_each_reason_has_its_class(reason: Reason, code: grpc.StatusCode, expected: type[LockstitchError]) -> None:
    error = from_status(Status.FromString(details(reason, code, key="value")))
    assert (type(error), error.code, error.message) == (expected, code, "the message")
    assert error.reason is reason
    assert error.metadata == {"key": "value"}
    assert str(error) == f"{reason}: the message"


def test_all_reasons_of_the_contract_are_known() -> None:
    names = {value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values if value.number}
    assert names == set(Reason) == {reason for reason, _, _ in REASONS}


CODES = [
    (grpc.StatusCode.INVALID_ARGUMENT, lockstitch.InvalidArgument),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, lockstitch.ResourceExhausted),
    (grpc.StatusCode.UNAVAILABLE, lockstitch.Unavailable),
    (grpc.StatusCode.UNAUTHENTICATED, lockstitch.Unauthenticated),
    (grpc.StatusCode.PERMISSION_DENIED, lockstitch.PermissionDenied),
    (grpc.StatusCode.ABORTED, lockstitch.Aborted),
    (grpc.StatusCode.FAILED_PRECONDITION, lockstitch.FailedPrecondition),
    (grpc.StatusCode.OUT_OF_RANGE, lockstitch.OutOfRange),
    (grpc.StatusCode.ALREADY_EXISTS, lockstitch.AlreadyExists),
    (grpc.StatusCode.UNKNOWN, LockstitchError),
]


@pytest.mark.parametrize(("code", "expected"), CODES, ids=str)
async def test_without_a_reason_the_code_decides(
    kind: Kind, code: grpc.StatusCode, expected: type[LockstitchError]
) -> None:
    error = await error_of(kind, code, None)
    assert (type(error), error.code, error.reason, error.metadata) == (expected, code, "", {})


async def test_the_trailing_metadata_is_read(kind: Kind) -> None:
    sent = details("EXPECTED_LATEST_MISMATCH", grpc.StatusCode.ABORTED, latest_step="7", latest_checkpoint_id="x")
    error = await error_of(kind, grpc.StatusCode.ABORTED, sent)
    assert isinstance(error, lockstitch.ExpectedLatestMismatch)
    assert (error.latest_step, error.latest_checkpoint_id) == (7, "x")


async def test_a_reason_of_a_newer_server(kind: Kind) -> None:
    error = await error_of(kind, grpc.StatusCode.ABORTED, details("NEW_REASON", grpc.StatusCode.ABORTED))
    assert (type(error), error.reason) == (lockstitch.Aborted, "NEW_REASON")


async def test_a_reason_of_somebody_else(kind: Kind) -> None:
    sent = details("LEASE_LOST", grpc.StatusCode.ABORTED, domain="example.com")
    error = await error_of(kind, grpc.StatusCode.ABORTED, sent)
    assert (type(error), error.reason) == (lockstitch.Aborted, "")


async def test_details_that_are_none(kind: Kind) -> None:
    error = await error_of(kind, grpc.StatusCode.NOT_FOUND, b"\xff\xff")
    assert type(error) is lockstitch.NotFound


async def test_a_reason_that_cannot_be_read(kind: Kind) -> None:
    status = Status(code=grpc.StatusCode.ABORTED.value[0])
    status.details.add(type_url=ERROR_INFO_URL, value=b"\x0a\xff")
    error = await error_of(kind, grpc.StatusCode.ABORTED, status.SerializeToString())
    assert (type(error), error.reason) == (lockstitch.Aborted, "")


def test_errors_can_be_sent_to_other_processes() -> None:
    error = from_status(Status.FromString(details("LEASE_LOST", grpc.StatusCode.ABORTED, key="value")))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_contract_s_messages_are_google_s_on_the_wire() -> None:
    google = pytest.importorskip("google.rpc.error_details_pb2")
    status = pytest.importorskip("google.rpc.status_pb2").Status(code=10, message="m")
    status.details.add().Pack(google.ErrorInfo(reason="LEASE_LOST", domain="lockstitch.dev", metadata={"a": "b"}))
    error = from_status(Status.FromString(status.SerializeToString()))
    assert (type(error), error.metadata) == (lockstitch.LeaseLost, {"a": "b"})
