"""Fields found in serialized messages are those that protobuf finds."""

from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.wire_fields import at, fields


@given(st.integers(0, 2**64 - 1), st.text(max_size=300), st.lists(st.text(max_size=5), max_size=5))
def test_what_protobuf_finds(number: int, session: str, sessions: list[str]) -> None:
    request = pb.SaveStreamRequest(request_id=number)
    request.save.checkpoint.session_id = session
    request.save.lease_token = number
    for name in sessions:
        request.batch.add().save.checkpoint.session_id = name
    data = request.SerializeToString()
    assert next((field.value for field in fields(data) if field.number == 1), 0) == number
    found = [bytes(field.data).decode() for field in at(data, (2, 1, 1))]
    assert found == ([session] if session else [])
    nested = [bytes(field.data).decode() for field in at(data, (4, 2, 1, 1))]
    assert nested == [name for name in sessions if name]


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_to_its_end(data: bytes) -> None:
    assert sum(1 for _ in fields(data)) <= len(data)
    list(at(data, (2, 1, 1)))
