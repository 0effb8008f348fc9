"""Messages of a SaveStream in chunks: the saves that protobuf sees in a message, in its order."""

from collections.abc import Iterable

from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest, SaveStreamResponse
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.stream_batches import TAKES_BATCHES, Chunk, chunks, join, request_id
from lockstitch_server.saving import responses
from tests.support import wire_bytes
from tests.support.shares import Shares

LARGEST = 2**64 - 1
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def expected(data: bytes) -> list[SaveStreamRequest]:
    """The saves of a message, each as if it had come alone. There is always one."""
    message = SaveStreamRequest.FromString(data)
    if not message.batch:
        return [message]
    own = SaveStreamRequest()
    own.CopyFrom(message)
    own.ClearField("batch")
    return [*([own] if message.HasField("save") else []), *message.batch]


def test_the_chunks_hold_what_protobuf_sees() -> None:
    shares = Shares()

    @settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=SLOW)
    @given(data=wire_bytes.broken(wire_bytes.stream_requests()), most=st.integers(1, 4))
    def compare(data: bytes, most: int) -> None:
        pieces = list(chunks(data, most))
        try:
            wanted = expected(data)
        except DecodeError:
            shares.note("refused")
            whole = [piece for piece in pieces if not piece.is_batch]
            assert [piece.data for piece in whole] == ([data] if len(whole) else [])
            return
        message = SaveStreamRequest.FromString(data)
        both = message.HasField("save") and len(message.batch) > 0
        shares.note("decoded", *(["both"] if both else []))
        assert [SaveStreamRequest.FromString(item) for piece in pieces for item in piece.items()] == wanted
        assert [piece.saves for piece in pieces] == [len(piece.items()) for piece in pieces]
        assert max(piece.saves for piece in pieces) <= most
        assert {piece.is_batch for piece in pieces} == {bool(message.batch)}
        for piece in pieces:
            numbers = [item.request_id for item in expected(piece.data)]
            assert [request_id(item) for item in piece.items()] == numbers
            assert numbers_of(responses.failed(piece, Failure(Reason.OVERLOADED, "no"))) == numbers

    compare()
    shares.assert_at_least(0.5, "decoded")
    shares.assert_at_least(0.2, "both")


def numbers_of(answer: bytes) -> list[int]:
    message = SaveStreamResponse.FromString(answer)
    return [item.request_id for item in message.batch or [message]]


def test_a_message_is_not_copied_where_it_is_one_chunk() -> None:
    item = SaveStreamRequest(request_id=7, save=SaveRequest(checkpoint=Checkpoint(session_id="s")))
    for message in (item, SaveStreamRequest(batch=[item, item])):
        data = message.SerializeToString()
        (piece,) = chunks(data, 2)
        assert piece.data is data


@given(ids=st.lists(st.integers(0, LARGEST), min_size=1, max_size=10), together=st.data())
def test_answers_come_together_as_one(ids: list[int], together: st.DataObject) -> None:
    answers: list[tuple[Chunk, bytes]] = []
    while left := len(ids) - sum(chunk.saves for chunk, _ in answers):
        begin, size = len(ids) - left, together.draw(st.integers(1, left))
        is_batch = size > 1 or together.draw(st.booleans())
        answers.append((Chunk(b"", size, is_batch), _answer(ids[begin : begin + size], is_batch=is_batch)))
    message = SaveStreamResponse.FromString(TAKES_BATCHES + join(answers))
    assert message.takes_batches
    assert [answer.request_id for answer in message.batch or [message]] == ids


def _answer(ids: Iterable[int], *, is_batch: bool) -> bytes:
    answers = [SaveStreamResponse(request_id=number) for number in ids]
    return (SaveStreamResponse(batch=answers) if is_batch else answers[0]).SerializeToString()
