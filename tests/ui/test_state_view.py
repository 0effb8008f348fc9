"""The state of a checkpoint: which channels are loaded, and how they are shown."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch import ListedCheckpoint
from lockstitch.adapters.langgraph._channels import to_channel
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, TypedBlob, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import ChannelSize
from lockstitch_ui.views.chats import MAX_MESSAGES, Chat
from lockstitch_ui.views.state import MAX_ITEMS, MAX_STATE_BYTES, Channel, changed, channels, to_load

SERDE = JsonPlusSerializer()


def listed(**sizes: tuple[int, str]) -> ListedCheckpoint:
    """With channels: name -> size and fingerprint."""
    found = [
        ChannelSize(channel=f"custom/{name}", bytes=size, fingerprint=mark.encode())
        for name, (size, mark) in sizes.items()
    ]
    return ListedCheckpoint(Checkpoint(step=1), [], 1, Timestamp(), 0, "", found)


def state(**values: Any) -> VersionedState:
    """With custom channels, as LangGraph's saver stores them."""
    made = VersionedState()
    for name, value in values.items():
        made.custom[name].CopyFrom(value if isinstance(value, CustomChannel) else to_channel(SERDE, value, "1"))
    return made


def shown(new: VersionedState, old: VersionedState | None = None, start: int | None = None) -> dict[str, Channel]:
    """The channels by name; all of them are taken to have changed."""
    own = listed(**dict.fromkeys(new.custom, (1, "new")))
    parent = listed(**dict.fromkeys(old.custom, (1, "old"))) if old is not None else None
    return {channel.label: channel for channel in channels(own, new, parent, old, start)}


def chat_of(channel: Channel) -> Chat:
    assert channel.chat is not None
    return channel.chat


def test_small_channels_are_loaded_first_and_one_that_is_asked_for_always() -> None:
    sizes = {
        "huge": (60_000_000, ""),
        "small": (10, ""),
        "half": (MAX_STATE_BYTES // 2, ""),
        "most": (MAX_STATE_BYTES, ""),
    }
    assert to_load(listed(**sizes)) == ["custom/small", "custom/half"]
    assert to_load(listed(**sizes), "custom/huge") == ["custom/huge"]
    assert to_load(listed()) is None


def test_of_the_parent_only_what_changed_is_loaded() -> None:
    new, old = listed(a=(1, "x"), b=(1, "x"), c=(1, "x")), listed(a=(1, "x"), b=(1, "y"), d=(1, "z"))
    assert changed(new, old, ["custom/a", "custom/b", "custom/c"]) == ["custom/b"]
    assert changed(new, None, ["custom/a"]) == []


def test_channels_that_were_not_loaded_are_named() -> None:
    found = channels(listed(a=(5, ""), b=(60_000_000, "")), state(a=1), None, None)
    assert [(channel.label, channel.is_loaded, channel.size) for channel in found] == [
        ("a", True, 5),
        ("b", False, 60_000_000),
    ]


def test_a_conversation_comes_first_and_control_last() -> None:
    found = shown(state(zeta=1, messages=[HumanMessage("hi")], alpha=2, **{"branch:to:x": None}))
    assert list(found) == ["messages", "alpha", "zeta", "branch:to:x"]
    assert [channel.is_internal for channel in found.values()] == [False, False, False, True]


def test_a_tool_call_is_a_card_with_its_result() -> None:
    calls = [{"name": "search", "args": {"q": "x"}, "id": "c1"}, {"name": "price", "args": {}, "id": "c2"}]
    old = state(messages=[HumanMessage("hi"), AIMessage("Let me look.", tool_calls=calls)])
    answer = ToolMessage("found", tool_call_id="c1", name="search")
    new = state(messages=[HumanMessage("hi"), AIMessage("Let me look.", tool_calls=calls), answer])
    found = shown(new, old)["messages"]
    first, second = chat_of(found).bubbles  # the answer stands in the card
    assert (first.role, first.is_new, second.is_new) == ("user", False, False)
    assert [(call.name, call.result, call.is_result_new) for call in second.calls] == [
        ("search", "found", True),
        ("price", None, False),
    ]
    assert second.calls[0].arguments.children[0].summary == "x"
    assert found.new_items == 1


def test_a_long_conversation_shows_its_end_and_pages_back() -> None:
    many = state(messages=[HumanMessage(str(number)) for number in range(100)])
    last = chat_of(shown(many)["messages"])
    assert (last.start, last.total, last.bubbles[-1].text) == (100 - MAX_MESSAGES, 100, "99")
    first = chat_of(shown(many, start=0)["messages"])
    assert (first.bubbles[0].text, len(first.bubbles), first.end) == ("0", MAX_MESSAGES, MAX_MESSAGES)
    assert chat_of(shown(many, start=10**9)["messages"]).bubbles[-1].text == "99"


def test_messages_of_the_contract() -> None:
    made = VersionedState()
    made.messages.items.add(role="user", content="hi")
    own = ListedCheckpoint(Checkpoint(), [], 1, Timestamp(), 0)
    (channel,) = channels(own, made, None, None)
    assert [(bubble.role, bubble.text) for bubble in chat_of(channel).bubbles] == [("user", "hi")]


@pytest.mark.parametrize("count", [3, MAX_ITEMS + 20, 5000])
def test_a_list_shows_its_last_items_with_their_numbers(count: int) -> None:
    """Small items are stored in chunks, where there are many."""
    found = shown(state(log=list(range(count))))["log"]
    assert found.node is not None
    assert found.count == count
    assert [child.label for child in found.node.children][-2:] == [str(count - 2), str(count - 1)]
    assert [child.summary for child in found.node.children][-1] == str(count - 1)
    assert found.node.skipped == max(0, count - MAX_ITEMS)


def test_new_items_of_a_list_are_marked() -> None:
    found = shown(state(log=["a", "b", "c"]), state(log=["a"]))["log"]
    assert found.node is not None
    assert [child.is_new for child in found.node.children] == [False, True, True]
    assert found.new_items == 2


def test_bytes_are_shown_in_hexadecimal_with_the_reason() -> None:
    pickled = CustomChannel(blob=TypedBlob(type="pickle", data=b"\x80\x04"))
    broken = CustomChannel(blob=TypedBlob(type="json", data=b"{"))
    found = shown(state(pickled=pickled, broken=broken))
    assert found["pickled"].dump is not None
    assert found["pickled"].dump.lines[0].digits == "80 04"
    assert found["broken"].dump is not None
    assert "it is no json" in found["broken"].dump.problem


def test_a_channel_without_a_value() -> None:
    assert shown(state(empty=CustomChannel(version="1")))["empty"].is_empty
