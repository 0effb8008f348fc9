"""Readers of requests see in them what protobuf sees, whatever their bytes look like."""

import pytest
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.named_sessions import PLACES, sessions_of, subject_projection
from lockstitch_server.rpc.projection import Projection
from lockstitch_server.rpc.request_subject import NO_SUBJECT, subject_of
from tests.support import wire_bytes
from tests.support.api import METHODS
from tests.support.shares import Shares
from tests.support.wire_bytes import SESSION_ID, Fields, message, text

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
MANY = 4 * 1024 * 1024
NAMESPACE = text(st.sampled_from(["", "n"]))
DELTA = SaveRequest.DELTA_FIELD_NUMBER


def fields_of(method: str) -> Fields:
    """The fields that name sessions, with their numbers out of the contract, and the namespace."""
    if method == "Save":
        return {**wire_bytes.saves(), DELTA: message({1: message({})})}
    if method == "SaveStream":
        return wire_bytes.items()
    known = METHODS[method].input_type.fields_by_name
    if method == "LoadLatestStream":
        return {known["requests"].number: message({1: SESSION_ID, 2: NAMESPACE})}
    named = {known[place].number: SESSION_ID for place in PLACES[method]}
    return {**named, **({known["namespace"].number: NAMESPACE} if "namespace" in known else {})}


@pytest.mark.parametrize("name", METHODS)
def test_sessions_and_subjects_are_those_that_protobuf_sees(name: str) -> None:
    method, shares = METHODS[name], Shares()
    whole = GetMessageClass(method.input_type)

    @settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=SLOW)
    @given(wire_bytes.broken(wire_bytes.whole(fields_of(name), 6)))
    def compare(data: bytes) -> None:
        request, seen = decoded(whole, data), projected(name, data)
        shares.note("refused" if request is None else "decoded")
        if request is not None:  # who carries it out reads what the readers read
            assert seen is not None
            assert sessions_of(method, seen) == sessions_of(method, request)
            if name != "SaveStream":
                assert subject_of(seen) == subject_of(request)

    compare()
    shares.assert_at_least(0.5, "decoded")


def decoded(kind: type[Message], data: bytes) -> Message | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def projected(method: str, data: bytes) -> Message | None:
    try:
        seen: Message = subject_projection(METHODS[method]).read(data)
    except Failure:
        return None
    return seen


def test_every_method_says_where_its_sessions_are() -> None:
    assert PLACES.keys() == METHODS.keys()
    for method in METHODS.values():
        assert sessions_of(method, subject_projection(method).read(b"")) == []


def test_nothing_is_said_of_what_nobody_has_read() -> None:
    assert subject_of(None) == NO_SUBJECT


def test_millions_of_fields_are_read() -> None:
    read = Projection(SaveRequest.DESCRIPTOR, ["checkpoint.session_id"]).read
    for filler in (b"\xa0\x06\x01", b"\xa3\x06\xa4\x06", b"\x0a\x00"):
        data = filler * (MANY // len(filler)) + b"\x0a\x03\x0a\x01s"
        assert read(data).checkpoint.session_id == "s"


def test_groups_that_never_end_are_refused() -> None:
    read = Projection(SaveRequest.DESCRIPTOR, ["checkpoint.session_id"]).read
    for data in (b"\xa3\x06", b"\xa3\x06" * MANY, b"\xa3\x06" * 1000 + b"\xa4\x06" * 1000, b"\xa3\x06\xac\x06"):
        with pytest.raises(Failure, match="is no SaveRequest message"):
            read(data)
        assert decoded(SaveRequest, data) is None


def test_numbers_are_read_as_protobuf_reads_them() -> None:
    read = Projection(SaveStreamRequest.DESCRIPTOR, ["request_id"]).read
    for data in (b"\x08" + b"\xff" * 9 + b"\x7f", b"\x08" + b"\xff" * 9 + b"\x01", b"\x88\x80\x80\x80\x00\x05"):
        assert read(data).request_id == SaveStreamRequest.FromString(data).request_id
