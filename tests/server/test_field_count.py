"""Messages of many small fields are refused before they are parsed, whatever hides them."""

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.field_count import FieldCounter
from tests.support import wire_bytes
from tests.support.shares import Shares

MOST = 1000
STREAM, SAVE = pb.SaveStreamRequest.DESCRIPTOR, pb.SaveRequest.DESCRIPTOR


def nested(depth: int, data: bytes) -> bytes:
    """A message within batches within batches."""
    for _ in range(depth):
        data = pb.SaveStreamRequest(batch=[pb.SaveStreamRequest.FromString(data)]).SerializeToString()
    return data


@pytest.mark.parametrize(
    "data",
    [
        b"\x78\x01" * (MOST + 1),  # unknown numbers
        b"\x22\x00" * (MOST + 1),  # empty saves of a batch
        b"\x7b\x7c" * MOST,  # groups
        nested(20, b"\x22\x00" * MOST),
        pb.SaveStreamRequest(save=pb.SaveRequest(writes=[PendingWrite()] * MOST)).SerializeToString(),
        pb.SaveStreamRequest(trace_context={str(number): "" for number in range(MOST // 2)}).SerializeToString(),
        b"\x2b\x22\x03\xff\xff\xff\x2c" + b"\x78\x01" * MOST,  # behind what is no message where one is to be
    ],
)
def test_too_many(data: bytes) -> None:
    with pytest.raises(Failure, match=f"more than {MOST} fields.*max_fields"):
        FieldCounter(MOST, "limits.max_fields").check(STREAM, data)


def test_what_may_be_long() -> None:
    """Bytes and texts count as one field, whatever is in them."""
    checkpoint = Checkpoint(session_id="\x22\0" * MOST)
    checkpoint.header.data = b"\x22\x00" * MOST
    data = pb.SaveRequest(checkpoint=checkpoint).SerializeToString()
    FieldCounter(10, "limits.max_fields").check(SAVE, data)


@pytest.mark.parametrize("data", [b"\xff" * 100_000, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a", b"\x0f" * 10, b""])
def test_what_is_no_message_is_left_to_the_parser(data: bytes) -> None:
    FieldCounter(MOST, "limits.max_fields").check(SAVE, data)


def test_no_field_that_protobuf_sees_is_missed() -> None:
    shares = Shares()

    @settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(wire_bytes.stream_requests())
    def compare(data: bytes) -> None:
        fields = fields_of(pb.SaveStreamRequest.FromString(data))
        shares.note("some" if fields > 1 else "few")
        if fields:
            with pytest.raises(Failure, match="has more than"):
                FieldCounter(fields - 1, "limit").check(STREAM, data)

    compare()
    shares.assert_at_least(0.5, "some")


def fields_of(message: Message) -> int:
    """How many fields a message has, those of messages within it included."""
    count = 0
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            count += len(value)
        else:
            for item in value if field.is_repeated else [value]:
                count += 1 + (fields_of(item) if isinstance(item, Message) else 0)
    return count
