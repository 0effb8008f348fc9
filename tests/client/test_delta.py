"""Deltas are exact: base and delta make the new state, bit for bit, or there is no delta."""

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from lockstitch._delta import NotExpressible, Snapshot, diff
from lockstitch.v1.checkpoint_pb2 import (
    BlobList,
    CustomChannel,
    ExtrasChannel,
    Message,
    MessagesChannel,
    StateDelta,
    TypedBlob,
    VersionedState,
)
from tests.client.reference import apply
from tests.client.states import maybe_newer, states, successors, with_unknown_field


def snapshot_of(state: VersionedState, known: Snapshot | None = None) -> Snapshot:
    data = state.SerializeToString()
    return Snapshot.of(state, data, 0, len(data), known)


def delta_of(old: VersionedState, new: VersionedState) -> StateDelta:
    """The delta; the same whether the new snapshot knows of the old one or not."""
    before = snapshot_of(old)
    delta = diff(before, snapshot_of(new))
    assert delta == diff(before, snapshot_of(new, before))
    return StateDelta.FromString(delta)


def assert_exact(old: VersionedState, new: VersionedState) -> None:
    before = [state.SerializeToString(deterministic=True) for state in (old, new)]
    try:
        delta = delta_of(old, new)
    except NotExpressible:
        event("no delta")
    else:
        event("delta")
        assert apply(old, delta).SerializeToString(deterministic=True) == before[1]
    assert [state.SerializeToString(deterministic=True) for state in (old, new)] == before, "an argument was changed"


@settings(max_examples=300)
@given(st.data())
def test_applying_the_delta_gives_the_successor(data: st.DataObject) -> None:
    old = data.draw(states)
    assert_exact(old, data.draw(successors(old)))


@settings(max_examples=300)
@given(maybe_newer(states), maybe_newer(states))
def test_applying_the_delta_gives_any_other_state(old: VersionedState, new: VersionedState) -> None:
    assert_exact(old, new)


@given(states, st.data())
def test_what_only_grows_has_a_delta(old: VersionedState, data: st.DataObject) -> None:
    new = VersionedState()
    new.CopyFrom(old)
    new.messages.items.extend([Message(role="user", content="more")])
    new.extra.entries["more"] = "1"
    name = data.draw(st.sampled_from([*sorted(new.custom), "more"]))
    if new.custom[name].WhichOneof("value") != "blob":
        new.custom[name].list.items.add(data=b"more")
    assert apply(old, delta_of(old, new)) == new


def test_only_new_messages_are_sent() -> None:
    old = VersionedState(messages=MessagesChannel(version=1, items=[Message(role="user", content="x" * 10_000)]))
    new = VersionedState(messages=MessagesChannel(version=2, items=[*old.messages.items, Message(content="new")]))
    delta = delta_of(old, new)
    assert (delta.messages.version, [item.content for item in delta.messages.append]) == (2, ["new"])
    assert not delta.HasField("extra")


def test_only_new_items_of_a_custom_list_are_sent() -> None:
    old = VersionedState(custom={"a": CustomChannel(list=BlobList(items=[TypedBlob(data=b"x" * 10_000)]))})
    new = VersionedState()
    new.CopyFrom(old)
    new.custom["a"].list.items.add(data=b"new")
    delta = delta_of(old, new)
    assert [item.data for item in delta.custom["a"].append.items] == [b"new"]


EMPTY_VALUES = [
    CustomChannel(blob=TypedBlob()),
    CustomChannel(list=BlobList()),
    CustomChannel(list=BlobList(items=[TypedBlob()])),
]


@pytest.mark.parametrize("old", EMPTY_VALUES, ids=repr)
@pytest.mark.parametrize("new", EMPTY_VALUES, ids=repr)
def test_empty_values_are_told_apart(old: CustomChannel, new: CustomChannel) -> None:
    base, state = VersionedState(custom={"a": old}), VersionedState(custom={"a": new})
    assert apply(base, delta_of(base, state)) == state


def test_nothing_changed_is_an_empty_delta() -> None:
    state = VersionedState(messages=MessagesChannel(version=1, items=[Message(role="user")]))
    assert delta_of(state, state) == StateDelta()


def test_unknown_fields_of_items_are_carried() -> None:
    message = with_unknown_field(Message(role="user", content="hi"))
    old = VersionedState(messages=MessagesChannel(items=[message]))
    new = VersionedState(messages=MessagesChannel(items=[message, message]))
    assert apply(old, delta_of(old, new)).SerializeToString() == new.SerializeToString()


MESSAGES = VersionedState(messages=MessagesChannel(version=1, items=[Message(role="user")]))
BLOB = VersionedState(custom={"a": CustomChannel(version="1", blob=TypedBlob(type="t", data=b"x"))})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(MESSAGES, VersionedState(), id="channel gone"),
        pytest.param(VersionedState(extra=ExtrasChannel()), VersionedState(), id="extra gone"),
        pytest.param(MESSAGES, VersionedState(messages=MessagesChannel(version=2)), id="list shorter"),
        pytest.param(BLOB, VersionedState(custom={"a": CustomChannel(version="2")}), id="value gone"),
        pytest.param(VersionedState(), VersionedState(custom={"a": CustomChannel()}), id="new channel without a value"),
    ],
)
def test_what_a_delta_cannot_carry_is_no_delta(old: VersionedState, new: VersionedState) -> None:
    with pytest.raises(NotExpressible):
        delta_of(old, new)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(with_unknown_field(VersionedState()), id="state"),
        pytest.param(VersionedState(messages=with_unknown_field(MessagesChannel(version=1))), id="messages"),
        pytest.param(VersionedState(extra=with_unknown_field(ExtrasChannel(version=1))), id="extra"),
        pytest.param(VersionedState(custom={"a": with_unknown_field(CustomChannel(version="1"))}), id="custom"),
        pytest.param(VersionedState(custom={"a": CustomChannel(list=with_unknown_field(BlobList()))}), id="list"),
    ],
)
def test_a_state_with_unknown_fields_is_never_part_of_a_delta(state: VersionedState) -> None:
    with pytest.raises(NotExpressible):
        snapshot_of(state)
