"""The reasons of errors are the same in the contract, the server and the client."""

import pytest

from lockstitch import Reason as ClientReason
from lockstitch.v1.error_pb2 import ErrorInfo as OwnErrorInfo
from lockstitch.v1.error_pb2 import ErrorReason, Status
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.errors import CODES, DOMAIN, code_of, status_of

PREFIX = "ERROR_REASON_"
CONTRACT = {name.removeprefix(PREFIX) for name in ErrorReason.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}


def test_the_server_has_the_contracts_reasons() -> None:
    assert {reason.value for reason in Reason} == CONTRACT


def test_the_client_has_the_contracts_reasons() -> None:
    assert {reason.value for reason in ClientReason} == CONTRACT


def test_each_reason_has_a_code() -> None:
    assert set(CODES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_status_is_read_with_the_contract_alone(reason: Reason) -> None:
    failure = Failure(reason, "because", field="f", limit=3)
    status = Status.FromString(status_of(failure).SerializeToString())
    assert (status.code, status.message) == (code_of(failure).value[0], "because")
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info = OwnErrorInfo.FromString(status.details[0].value)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, DOMAIN, {"field": "f", "limit": "3"})
