"""Messages of many small fields are refused before they are parsed, whatever hides them."""

import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.field_count import FieldCounter

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
