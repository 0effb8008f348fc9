"""What has been dumped before is looked up: it is always what a dump would be, whatever has happened to the message."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.adapters.langgraph import JsonSerializer, LockstitchSaver
from lockstitch.adapters.langgraph._dumped import Dumped, to_blob
from lockstitch.adapters.langgraph._recent import OVERHEAD
from tests.adapters.checkpoints import checkpoint, config, metadata


class Note(HumanMessage):
    """A message that LangChain does not know."""


class Word(StrEnum):
    HI = "Hi"


class Text(str):
    """Text that is more than text."""

    __slots__ = ()


def answer() -> AIMessage:
    call = {"name": "look", "args": {"at": ["it"]}, "id": "c1"}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return AIMessage(
        "I look.", id="a1", tool_calls=[call], usage_metadata=usage, response_metadata={"model": {"name": "m"}}
    )


MESSAGES: dict[str, Callable[[], BaseMessage]] = {
    "human": lambda: HumanMessage("Hi", id="h1"),
    "system": lambda: SystemMessage("Hi", id="h1"),
    "ai": answer,
    "tool": lambda: ToolMessage("seen", tool_call_id="c1", artifact={"raw": [1, 2]}),
    "removal": lambda: RemoveMessage(id="h1"),
    "in parts": lambda: HumanMessage([{"type": "text", "text": "Hi"}, "there"]),
    "with more fields": lambda: HumanMessage("Hi", mood={"good": True}),
    "of another class": lambda: Note(content="Hi", id="h1"),
}
CHANGES: dict[str, Any] = {
    "true": True,
    "one": 1,
    "one, as a float": 1.0,
    "nothing": None,
    "text": "Hi",
    "text of another class": Text("Hi"),
    "a word": Word.HI,
    "bytes": b"Hi",
    "many bytes": bytearray(b"Hi"),
    "a list": [1],
    "a tuple": (1,),
    "a set": {1},
    "a dict": {"a": 1},
    "a dict in another order": {"b": 1, "a": 2},
    "a dict in an order": {"a": 2, "b": 1},
    "numbers for keys": {1: 1},
    "a moment": datetime(2026, 11, 25, tzinfo=UTC),
    "a large number": 2**63,
    "half a pair": "\ud800",
}


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
def test_what_is_found_is_what_a_dump_would_be(make: Callable[[], BaseMessage]) -> None:
    serde, dumped, message = JsonPlusSerializer(), Dumped(), make()

    def check() -> None:
        for same in (message, message.model_copy(deep=True)):
            assert dumped.to_blob(serde, same) == dumped.to_blob(serde, same) == to_blob(serde, same)

    check()
    for change in [*CHANGES.values(), *CHANGES.values()]:
        message.additional_kwargs["changed"] = change
        check()
        message.additional_kwargs["changed"] = {"deep": [change]}
        check()
    message.content = "something else"
    check()
    if isinstance(message, AIMessage):
        message.tool_calls[0]["args"]["at"].append("them")
        check()
        message.response_metadata["model"]["name"] = "n"
        check()


def test_a_message_is_dumped_once() -> None:
    serde, dumped = JsonPlusSerializer(), Dumped()
    first = dumped.to_blob(serde, answer())
    assert dumped.to_blob(serde, answer()) is first
    assert dumped.to_blob(JsonPlusSerializer(), answer()) is first


@pytest.mark.parametrize("make", [JsonSerializer, lambda: type("Own", (JsonPlusSerializer,), {})()])
def test_other_serializers_are_always_asked(make: Callable[[], JsonPlusSerializer]) -> None:
    dumped = Dumped()
    assert dumped.to_blob(make(), answer()) is not dumped.to_blob(make(), answer())


def test_what_is_remembered_keeps_within_bounds() -> None:
    serde, most = JsonPlusSerializer(), 20_000
    dumped = Dumped(most)
    last = [dumped.to_blob(serde, HumanMessage("x" * size)) for size in [*range(0, 3000, 7), 3]]
    kept = [(name, blob) for known in (dumped._recent._newer, dumped._recent._older) for name, blob in known.items()]
    assert last[-1] in [blob for _, blob in kept]
    assert most / 4 < sum(len(name[1]) + len(blob.data) + OVERHEAD for name, blob in kept) <= most
    assert dumped.to_blob(serde, HumanMessage("x" * most)) == to_blob(serde, HumanMessage("x" * most))
    assert dumped.to_blob(serde, HumanMessage("xxx")) is last[-1]


async def test_a_message_that_is_changed_in_place_is_saved_as_it_is(saver: LockstitchSaver, thread_id: str) -> None:
    messages = [HumanMessage("Hi", id="h1"), answer()]
    place = config(thread_id)
    for version, word in enumerate(("good", "better", "good"), 1):
        messages[0].content = word
        messages[1].response_metadata["model"]["name"] = word
        place = await saver.aput(
            place, checkpoint({"messages": messages}, {"messages": version}), metadata(version), {"messages": version}
        )
        found = await saver.aget_tuple(place)
        assert found is not None
        assert found.checkpoint["channel_values"]["messages"] == messages
