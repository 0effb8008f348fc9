"""Messages of several formats as a chat."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.inspect import chat, chat_of
from lockstitch.v1.checkpoint_pb2 import (
    BlobList,
    CustomChannel,
    Message,
    MessagesChannel,
    TypedBlob,
    VersionedState,
)


def state(*messages: Any, whole: bool = False) -> VersionedState:
    blobs = [TypedBlob(type="json", data=json.dumps(value).encode()) for value in ([messages] if whole else messages)]
    channel = CustomChannel(blob=blobs[0]) if whole else CustomChannel(list=BlobList(items=blobs))
    return VersionedState(custom={"messages": channel})


def test_the_messages_channel() -> None:
    found = chat(VersionedState(messages=MessagesChannel(items=[Message(role="user", content="hi")])))
    assert [(message.role, message.content) for message in found] == [("user", "hi")]


@pytest.mark.parametrize("whole", [False, True])
def test_formats(whole: bool) -> None:
    function = {"name": "search", "arguments": '{"q": 1}'}
    found = chat(
        state(
            ["human", "hi"],
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image"}, "two"]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]},
            {"role": "tool", "tool_call_id": "1", "content": "found"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "2", "name": "send", "input": {"to": "x"}}]},
            whole=whole,
        )
    )
    assert [(message.role, message.content) for message in found] == [
        ("user", "hi"),
        ("user", "one\ntwo"),
        ("assistant", ""),
        ("tool", "found"),
        ("assistant", ""),
    ]
    assert [(call.name, call.arguments) for message in found for call in message.tool_calls] == [
        ("search", '{"q": 1}'),
        ("send", {"to": "x"}),
    ]
    assert found[2].tool_calls[0].result is found[3]
    assert found[4].tool_calls[0].result is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["ai", "tool", "user", "", "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "type", "content", "tool_calls", "id", "name", "function", "tool_call_id"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(st.lists(JSON, max_size=4))
def test_anything_can_stand_there(values: list[Any]) -> None:
    assert len(chat(state(*values))) <= len(values)


def test_messages_among_plain_values() -> None:
    values = [{"role": "user", "content": "hi"}, 5, ["assistant", "yes?"]]
    assert [(found.role, found.content) for found in chat_of(values)] == [("user", "hi"), ("assistant", "yes?")]
