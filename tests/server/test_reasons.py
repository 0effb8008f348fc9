"""The reasons of errors are the same in the contract, the server and the clients."""

import re
from collections.abc import Mapping

import pytest

from lockstitch import Reason as ClientReason
from lockstitch.v1.error_pb2 import ErrorInfo as OwnErrorInfo
from lockstitch.v1.error_pb2 import ErrorReason, Status
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.errors import CODES, DOMAIN, code_of, status_of
from tests.support.paths import ROOT

PREFIX = "ERROR_REASON_"
CONTRACT = {name.removeprefix(PREFIX) for name in ErrorReason.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}


LISTS: Mapping[str, str] = {
    "client/go/lockstitch/errors.go": r'Reason = "([A-Z_]+)"',
    "client/typescript/src/errors.ts": r"^  ([A-Z_]+): \w+,$(?=[\s\S]*const BY_CODE)",
    "client/java/src/main/java/dev/lockstitch/Errors.java": r'entry\("([A-Z_]+)"',
}
"""Where other clients list the reasons, and how a reason looks there. Rust's client uses the generated enum."""


def test_server_and_client_have_the_contracts_reasons() -> None:
    assert Reason is ClientReason
    assert {reason.value for reason in Reason} == CONTRACT


@pytest.mark.parametrize("path", LISTS)
def test_the_other_clients_have_them(path: str) -> None:
    assert set(re.findall(LISTS[path], (ROOT / path).read_text(), re.MULTILINE)) == CONTRACT


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
