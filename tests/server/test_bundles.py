"""Messages of a SaveStream in pieces, without being parsed."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest, SaveStreamResponse
from lockstitch_server.rpc.bundles import TAKES_BATCHES, Bundle, bundles, join

LARGEST = 2**64 - 1

single = st.builds(
    SaveStreamRequest,
    request_id=st.integers(0, LARGEST),
    save=st.none() | st.builds(SaveRequest, checkpoint=st.builds(Checkpoint, session_id=st.text(max_size=300))),
)
UNKNOWN = st.sampled_from(
    [b"", b"\x32\x03abc", b"\xa2\x06\x02\x22\x22", b"\x99\x01" + bytes(8), b"\x45" + bytes(4), b"\x20\x01"]
)
"""Fields that nobody knows: with lengths, of fixed sizes, numbers."""


@given(items=st.lists(single, max_size=20), own=single, most=st.integers(1, 8), before=UNKNOWN, after=UNKNOWN)
def test_the_pieces_hold_what_the_message_holds(
    items: list[SaveStreamRequest], own: SaveStreamRequest, most: int, before: bytes, after: bytes
) -> None:
    message = SaveStreamRequest(batch=items)
    message.MergeFrom(own)
    pieces = list(bundles(before + message.SerializeToString() + after, most))
    parsed = [SaveStreamRequest.FromString(piece.data) for piece in pieces]
    assert [item for piece in parsed for item in piece.batch] == items
    assert sum(piece.saves for piece in pieces) == max(1, len(items))
    assert all(piece.is_batch == bool(items) for piece in pieces)
    if items:
        assert [piece.saves for piece in pieces] == [len(piece.batch) for piece in parsed]
        assert max(piece.saves for piece in pieces) <= most


@given(data=st.binary(max_size=60), most=st.integers(1, 8))
def test_whatever_comes_is_taken_as_it_is(data: bytes, most: int) -> None:
    assert b"".join(piece.data for piece in bundles(data, most)) == data


@given(ids=st.lists(st.integers(0, LARGEST), min_size=1, max_size=10), together=st.data())
def test_answers_come_together_as_one(ids: list[int], together: st.DataObject) -> None:
    answers: list[tuple[Bundle, bytes]] = []
    while left := len(ids) - sum(bundle.saves for bundle, _ in answers):
        begin, size = len(ids) - left, together.draw(st.integers(1, left))
        is_batch = size > 1 or together.draw(st.booleans())
        answers.append((Bundle(b"", size, is_batch), _answer(ids[begin : begin + size], is_batch=is_batch)))
    message = SaveStreamResponse.FromString(TAKES_BATCHES + join(answers))
    assert message.takes_batches
    assert [answer.request_id for answer in message.batch or [message]] == ids


def _answer(ids: Iterable[int], *, is_batch: bool) -> bytes:
    answers = [SaveStreamResponse(request_id=number) for number in ids]
    return (SaveStreamResponse(batch=answers) if is_batch else answers[0]).SerializeToString()
