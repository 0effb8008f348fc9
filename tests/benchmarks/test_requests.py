"""What the load sends is what protobuf would have written."""

from itertools import pairwise

import pytest

from benchmarks.conversation import Conversation
from benchmarks.driver.changing import Changing
from benchmarks.text import Noise, Text
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest


@pytest.mark.parametrize("state_bytes", [200, 2048, 32768])
def test_saves_are_save_requests_of_the_size_wanted(state_bytes: int) -> None:
    from benchmarks.wire.saves import FIRST_STEP, Saves

    saves = Saves("some session", state_bytes, Noise(1))
    for step in range(FIRST_STEP, FIRST_STEP + 300):
        request = SaveRequest.FromString(saves.next())
        contents = [item.content.encode() for item in request.checkpoint.state.messages.items]
        assert request == saves.request(step, contents)
        assert state_bytes <= request.checkpoint.state.ByteSize() < state_bytes + 150


def test_nothing_of_a_state_was_there_before() -> None:
    from benchmarks.wire.saves import Saves

    saves = Saves("some session", 2048, Noise(1))
    requests = [SaveRequest.FromString(saves.next()) for _ in range(100)]
    said = [item.content for request in requests for item in request.checkpoint.state.messages.items]
    assert len(set(said)) == len(said)


def test_an_item_of_a_stream() -> None:
    from benchmarks.driver.lockstitch import item
    from benchmarks.wire.saves import Saves

    save = Saves("some session", 2048, Noise(1)).next()
    for number in (1, 127, 128, 256):
        expected = SaveStreamRequest(request_id=number, save=SaveRequest.FromString(save))
        assert SaveStreamRequest.FromString(item(number, save)) == expected


def test_deltas_lead_to_the_state() -> None:
    session, text = Conversation("some session"), Text(1)
    said = []
    for turn in range(5):
        said.append(text.take(100))
        session.say(said[-1])
        request = SaveRequest.FromString(session.delta_save())
        if turn:
            assert [item.content for item in request.delta.messages.append] == said[-1:]
            assert request.base_checkpoint_id == f"{turn - 1:020}"
            assert not request.checkpoint.HasField("state")
    assert [item.content for item in session.checkpoint.state.messages.items] == said


@pytest.mark.parametrize("state_bytes", [2048, 32768])
def test_changing_states_change_a_little_and_stay_of_a_size(state_bytes: int) -> None:
    session, changing = Conversation("some session"), Changing(state_bytes, 1)
    sizes = []
    for _ in range(1000):
        changing.change(session)
        sizes.append(session.checkpoint.state.ByteSize())
    assert 0.9 * state_bytes < sum(sizes) / len(sizes) < 1.3 * state_bytes
    assert sum(after > before for before, after in pairwise(sizes)) > len(sizes) * 0.8


def test_text_is_the_same_for_the_same_seed() -> None:
    assert Text("a").take(1100) == Text("a").take(1100) != Text("b").take(1100)
    assert len(Text("a").take(1100)) == 1100
