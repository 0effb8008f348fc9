"""Plain states as channels, and back."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.plain import JsonCodec, _layout
from tests.plain.states import STATES, VALUES, same

JSON = JsonCodec()


@given(STATES)
def test_a_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    before = deepcopy(state)
    assert same(_layout.read(_layout.write(state, JSON), JSON), before)
    assert same(state, before)


@given(STATES, st.lists(VALUES, max_size=3))
def test_appending_is_writing_the_longer_list(state: dict[str, Any], items: list[Any]) -> None:
    state = {**state, "log": [1]}
    written = _layout.write(state, JSON)
    _layout.append(written, "log", items, JSON)
    assert written == _layout.write({**state, "log": [1, *items]}, JSON)


@given(STATES, STATES)
def test_what_was_there_before_does_not_change_what_is_saved(before: dict[str, Any], state: dict[str, Any]) -> None:
    assert same(_layout.read(_layout.write(state, JSON, _layout.write(before, JSON)), JSON), state)


def test_equal_values_keep_their_bytes() -> None:
    before = _layout.write({"a": [{"x": 1, "y": 2}, 1], "b": {"c": 1, "d": {"e": 1, "f": 2}}}, JSON)
    assert _layout.write({"b": {"d": {"f": 2, "e": 1}, "c": 1}, "a": [{"y": 2, "x": 1}, 1]}, JSON, before) == before
    after = _layout.write({"a": [{"y": 2, "x": 1}, 1.0, {"x": 1}]}, JSON, before).custom["a"].list.items
    assert [blob.data for blob in after] == [b'{"x":1,"y":2}', b"1.0", b'{"x":1}']


def test_where_values_stand() -> None:
    state = {"messages": [{"role": "user"}], "cart": {"a/b": 1, "items": [1, 2]}, "x~y": "text", "none": {}}
    channels = _layout.write(state, JSON).custom
    assert sorted(channels) == ["cart/a~1b", "cart/items", "messages", "none", "x~0y"]
    assert [blob.data for blob in channels["messages"].list.items] == [b'{"role":"user"}']
    assert [blob.data for blob in channels["cart/items"].list.items] == [b"1", b"2"]
    assert (channels["none"].blob.type, channels["none"].blob.data) == ("json", b"{}")


def test_a_large_dict_is_one_value() -> None:
    assert len(_layout.write({"index": {str(at): at for at in range(_layout.SPLIT_KEYS)}}, JSON).custom) == 100
    assert len(_layout.write({"index": {str(at): at for at in range(_layout.SPLIT_KEYS + 1)}}, JSON).custom) == 1


def test_a_dict_with_a_long_key_is_one_value() -> None:
    state = {"index": {"k" * _layout.NAME_BYTES: 1, "b": 2}}
    written = _layout.write(state, JSON)
    assert list(written.custom) == ["index"]
    assert _layout.read(written, JSON) == state


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"a": {"b": [1, {"c": float("nan")}]}}, "value['a']['b'][1]['c'] is nan, which JSON does not have"),
        ({"a": {1: 2}}, "value['a'] has the key 1 of type int"),
        ({1: 2}, "value has the key 1 of type int"),
        ({"a": [b"x"]}, "value['a'][0] is of type bytes"),
        ({"a": (1,)}, "value['a'] is of type tuple, which JSON does not have, and would come back as a list"),
        ({"a": {"b": "\ud83d"}}, "value['a']['b'] holds '\\ud83d'"),
        ({"a": {"\ud83d": 1}}, "value['a'] holds '\\ud83d'"),
        ({"k" * 513: 1}, "the keys have more than 512 bytes together"),
    ],
)
def test_what_would_be_lost_raises_with_its_path(state: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        _layout.write(state, JSON)
    assert error in str(raised.value)


@pytest.mark.parametrize("value", [1, {"a": 1}, {}, "text"])
def test_appending_to_what_is_no_list_raises(value: object) -> None:
    written = _layout.write({"log": value}, JSON)
    with pytest.raises(TypeError, match=r"value\['log'\] is "):
        _layout.append(written, "log", [1], JSON)
    assert written == _layout.write({"log": value}, JSON)


@pytest.mark.parametrize("name", ["b/c/d", "a/x", "b~", "b~2/c"])
def test_channels_of_others_are_refused(name: str) -> None:
    written = _layout.write({"a": {}, "b": {"c": 1}}, JSON)
    written.custom[name].blob.CopyFrom(written.custom["a"].blob)
    with pytest.raises(ValueError, match=f"channel '{name}' is not one of a plain state"):
        _layout.read(written, JSON)


def test_a_state_with_the_contracts_own_channels_is_refused() -> None:
    written = _layout.write({"a": 1}, JSON)
    written.messages.SetInParent()
    with pytest.raises(ValueError, match="messages, extra and errors"):
        _layout.read(written, JSON)


def test_a_value_of_another_codec_is_refused() -> None:
    written = _layout.write({"a": [1]}, JSON)
    written.custom["a"].list.items[0].type = "msgpack"
    with pytest.raises(ValueError, match=r"value\['a'\]\[0\] is stored as 'msgpack', not as 'json'"):
        _layout.read(written, JSON)
