"""A save that is put together from bytes is the message that it would have been."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch import NONE, Checkpoint, NoCheckpoint, TypedBlob, VersionedState, node
from lockstitch._draft import Draft, conditions
from lockstitch._wire import fields, read_varint, varint
from lockstitch.v1.checkpoint_pb2 import StateDelta
from lockstitch.v1.checkpoint_service_pb2 import ExpectedLatest, SaveRequest
from tests.client.examples import write
from tests.client.states import UNKNOWN_FIELD, maybe_newer, states, texts

U64 = 2**64 - 1
UNKNOWN_GROUP = b"\xc3\x3e\xc4\x3e"
"""Field 1000, an empty group."""

numbers = st.sampled_from([0, 1, 127, 128, 300, 2**32, U64])
checkpoints = maybe_newer(
    st.builds(
        Checkpoint,
        session_id=texts,
        namespace=texts,
        checkpoint_id=texts | st.just("x" * 200),
        parent_id=texts,
        step=numbers,
        state=st.none() | maybe_newer(states),
        frontier=st.lists(st.builds(node, texts), max_size=2),
        concurrency_limit=numbers,
        metadata=st.dictionaries(texts, texts, max_size=2),
        header=st.none() | st.builds(TypedBlob, data=st.binary(max_size=300)),
    )
)


@given(checkpoints)
def test_the_full_request(checkpoint: Checkpoint) -> None:
    draft = Draft(checkpoint, conditions("id", 0, (), 60, 7))
    request = SaveRequest.FromString(draft.full())
    assert request.checkpoint == checkpoint
    assert (request.expected_latest.checkpoint_id, request.ttl.seconds, request.lease_token) == ("id", 60, 7)


@given(checkpoints, numbers)
def test_the_request_with_a_delta(checkpoint: Checkpoint, revision: int) -> None:
    draft = Draft(checkpoint, conditions(None, 0, (), None, 7))
    if draft.snapshot(checkpoint, None) is None:
        return
    delta = StateDelta(removed_custom=["a"])
    base = SaveRequest(base_checkpoint_id="b", base_revision=revision)
    request = SaveRequest.FromString(draft.with_delta(base, delta.SerializeToString()))
    expected = SaveRequest(
        checkpoint=checkpoint, lease_token=7, base_checkpoint_id="b", base_revision=revision, delta=delta
    )
    expected.checkpoint.ClearField("state")
    assert request == expected


def test_an_empty_delta_is_one_too() -> None:
    checkpoint = Checkpoint(state=VersionedState())
    draft = Draft(checkpoint, b"")
    assert draft.snapshot(checkpoint, None) is not None
    assert SaveRequest.FromString(draft.with_delta(SaveRequest(), b"")).HasField("delta")


@pytest.mark.parametrize("unknown", [UNKNOWN_FIELD, UNKNOWN_GROUP, b"\xc5\x3e1234", b"\xc1\x3e12345678"])
def test_unknown_fields_of_a_checkpoint_go_with_it(unknown: bytes) -> None:
    checkpoint = Checkpoint.FromString(b"\x28\x01" + unknown)
    assert SaveRequest.FromString(Draft(checkpoint, b"").full()).checkpoint == checkpoint


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_state_is_found_among_unknown_fields_or_not_at_all(place: str) -> None:
    unknown, state = b"\xc5\x3e1234\xc1\x3e12345678", b"\x32\x02\x0a\x00"
    data = unknown + state if place == "before" else state + unknown
    assert [tag for tag, *_ in fields(data, 0, len(data)) if tag < 128] == [0x32]
    with pytest.raises(ValueError, match="wire type"):
        list(fields(UNKNOWN_GROUP, 0, len(UNKNOWN_GROUP)))


CONDITIONS = [
    (None, ExpectedLatest()),
    (NONE, ExpectedLatest(none=True)),
    (0, ExpectedLatest(step=0)),
    ("", ExpectedLatest(checkpoint_id="")),
]


@pytest.mark.parametrize(("given", "expected"), CONDITIONS)
def test_conditions(given: str | int | NoCheckpoint | None, expected: ExpectedLatest) -> None:
    request = SaveRequest.FromString(conditions(given, 0, iter([write("t", 0)]), timedelta(seconds=2), 3))
    assert (request.expected_latest, request.ttl.seconds, request.lease_token) == (expected, 2, 3)
    assert list(request.writes) == [write("t", 0)]


def test_no_conditions() -> None:
    assert conditions(None, 0, (), None, 0) == b""


@given(st.integers(0, U64))
def test_numbers(number: int) -> None:
    data = varint(number)
    assert read_varint(b"x" + data + b"y", 1) == (number, 1 + len(data))
    assert Checkpoint.FromString(b"\x28" + data).step == number
