"""The order of the interceptors: written as data, and held to."""

from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.config import Auth, Settings, Tenants
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.admission_gate import AdmissionGate
from lockstitch_server.rpc.call_context import NO_TRANSPORT, CallContext, Metadata, Transport
from lockstitch_server.rpc.handler_types import StreamHandler, UnaryHandler
from lockstitch_server.rpc.interceptors import order, wrap_unary
from lockstitch_server.runtime.identification import create_identification
from lockstitch_server.runtime.server import create_interceptors
from tests.security.callers import make_key
from tests.support.api import METHODS


class Named:
    """An interceptor with nothing to do."""

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        return handle

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        return handle


def test_the_order_is_the_one_that_was_thought_about() -> None:
    """A change here is a change of what callers can bring about: see the comments in the order itself."""
    assert order.ORDER == ("telemetry", "admission", "audit", "authentication", "tenant_limits", "required_audit")


def test_those_in_use_come_in_order_whatever_order_they_are_named_in() -> None:
    made = {name: Named() for name in reversed(order.ORDER)}
    assert order.in_order(made) == tuple(made[name] for name in order.ORDER)


def test_those_not_in_use_are_left_out() -> None:
    assert order.in_order(dict.fromkeys(order.ORDER)) == ()


def test_none_goes_without_a_place() -> None:
    with pytest.raises(ValueError, match="surprise"):
        order.in_order({"surprise": None})


async def test_who_is_turned_away_early_costs_nothing_later(tmp_path: Path) -> None:
    """A closed gate asks nobody who he is; whoever is unknown takes nothing from a tenant's share."""
    keys = tmp_path / "keys.json"
    token = make_key(keys, "p", ["acme"])
    settings = Settings(auth=Auth(keys=str(keys)), tenants=Tenants(calls_per_second=0.01, burst_calls=1))
    gate = AdmissionGate()
    interceptors = create_interceptors(gate, settings, create_identification(settings))
    call = wrap_unary(interceptors, METHODS["Save"], echo)
    for _ in range(5):
        assert await reason(call, Shown("Bearer lsk_no_no")) == "CREDENTIALS_INVALID"
    assert await call(b"x", CallContext(transport=Shown(f"Bearer {token}"))) == b"x"
    assert await reason(call, Shown(f"Bearer {token}")) == "RATE_LIMITED"
    await gate.close(0)
    assert await reason(call, Shown("Bearer lsk_no_no")) == "DRAINING"


async def echo(data: bytes, context: CallContext) -> bytes:
    return data


class Shown(type(NO_TRANSPORT)):  # type: ignore[misc]  # its name is private
    """A transport that shows a token."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def invocation_metadata(self) -> Metadata:
        return (("authorization", self._authorization),)


async def reason(call: UnaryHandler, transport: Transport) -> str:
    with pytest.raises(Failure) as caught:
        await call(b"", CallContext(transport=transport))
    return caught.value.reason
