"""What has been loaded before is made anew: it is always what the serializer would give, and nobody else's."""

import pickle
from collections.abc import Callable
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.adapters.langgraph import JsonSerializer, LockstitchSaver
from lockstitch.adapters.langgraph._dumped import to_blob
from lockstitch.adapters.langgraph._recent import OVERHEAD
from lockstitch.adapters.langgraph._revived import MOST_BYTES_EACH, Revived, from_blob
from lockstitch.v1.checkpoint_pb2 import TypedBlob
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.adapters.test_langgraph_dumped import CHANGES, MESSAGES, answer

OTHERS: dict[str, Any] = {
    "nothing": None,
    "text": "Hi",
    "a list": [HumanMessage("Hi")],
    "a dict": {"a": 1},
    "a set": {1},
}


def parts(value: Any) -> Any:
    """All that a message is made of."""
    if not isinstance(value, BaseMessage):
        return value
    state = value.__getstate__()
    return type(value), list(state["__dict__"]), {name: repr(part) for name, part in state.items() if "set" not in name}


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_message_is_what_the_serializer_gives(make: Callable[[], BaseMessage], change: Any) -> None:
    serde, revived, message = JsonPlusSerializer(), Revived(), make()
    message.additional_kwargs["changed"] = {"deep": [change]}
    blob = to_blob(serde, message)
    wanted = from_blob(serde, blob)
    for _ in range(3):
        found = revived.from_blob(serde, blob)
        assert found == wanted
        assert parts(found) == parts(wanted)
        if isinstance(found, BaseMessage):
            assert found.model_fields_set == wanted.model_fields_set
            assert to_blob(serde, found) == to_blob(serde, wanted)
            assert parts(pickle.loads(pickle.dumps(found))) == parts(wanted)


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_other_values_are_loaded(value: Any) -> None:
    serde, revived = JsonPlusSerializer(), Revived()
    for _ in range(2):
        assert revived.from_blob(serde, to_blob(serde, value)) == value


def test_what_a_graph_does_to_a_message_stays_with_it() -> None:
    serde, revived = JsonPlusSerializer(), Revived()
    blob = to_blob(serde, answer())
    for _ in range(3):
        found = revived.from_blob(serde, blob)
        assert found == answer()
        found.content = "changed"
        found.tool_calls[0]["args"]["at"].append("changed")
        found.response_metadata["model"]["name"] = "changed"
        found.model_fields_set.clear()


def test_a_message_is_loaded_once_by_each_serializer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[JsonPlusSerializer] = []
    loads = JsonPlusSerializer.loads_typed

    def counted(serde: JsonPlusSerializer, data: tuple[str, bytes]) -> Any:
        asked.append(serde)
        return loads(serde, data)

    one, other = JsonPlusSerializer(), JsonPlusSerializer()
    revived, blob = Revived(), to_blob(one, answer())
    monkeypatch.setattr(JsonPlusSerializer, "loads_typed", counted)
    for serde in (one, one, other, one, other):
        assert revived.from_blob(serde, blob) == answer()
    assert asked == [one, other]


@pytest.mark.parametrize("kind", [JsonSerializer, JsonPlusSerializer])
def test_other_serializers_are_always_asked(kind: type[JsonPlusSerializer]) -> None:
    asked: list[bytes] = []

    class Own(kind):  # type: ignore[misc,valid-type]  # a class of either
        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            asked.append(data[1])
            return super().loads_typed(data)

    serde, revived = Own(), Revived()
    blob = to_blob(serde, answer())
    assert [revived.from_blob(serde, blob) for _ in range(3)] == [answer()] * 3
    assert asked == [blob.data] * 3


def test_a_class_that_a_serializer_may_not_load_is_not_made() -> None:
    strict, revived = JsonPlusSerializer(allowed_msgpack_modules=None), Revived()
    blob = to_blob(strict, MESSAGES["of another class"]())
    free = JsonPlusSerializer()
    assert revived.from_blob(free, blob) == from_blob(free, blob)
    assert revived.from_blob(strict, blob) == from_blob(strict, blob) != from_blob(free, blob)


def test_what_is_remembered_keeps_within_bounds() -> None:
    serde, most = JsonPlusSerializer(), 20_000
    revived = Revived(most)
    for size in range(0, 3000, 7):
        message = HumanMessage("x" * size)
        assert revived.from_blob(serde, to_blob(serde, message)) == message
    kept = [*revived._recent._newer.items(), *revived._recent._older.items()]
    assert most / 4 < sum(len(name[2]) + len(message.fields) + OVERHEAD for name, message in kept) <= most


def test_large_messages_are_not_remembered() -> None:
    serde, revived = JsonPlusSerializer(), Revived()
    blob = to_blob(serde, HumanMessage("x" * MOST_BYTES_EACH))
    assert revived.from_blob(serde, blob) == revived.from_blob(serde, blob)
    assert not revived._recent._newer


def test_damaged_bytes_are_told_as_ever() -> None:
    serde, revived = JsonPlusSerializer(), Revived()
    blob = to_blob(serde, answer())
    revived.from_blob(serde, blob)
    with pytest.raises(ormsgpack.MsgpackDecodeError):
        revived.from_blob(serde, TypedBlob(type=blob.type, data=blob.data[:-1]))


async def test_a_message_that_was_changed_after_a_load_is_loaded_as_it_was(
    saver: LockstitchSaver, thread_id: str
) -> None:
    messages = [HumanMessage("Hi", id="h1"), answer()]
    saved = checkpoint({"messages": messages}, {"messages": 1})
    place = await saver.aput(config(thread_id), saved, metadata(1), {"messages": 1})
    for _ in range(3):
        found = await saver.aget_tuple(place)
        assert found is not None
        assert found.checkpoint["channel_values"]["messages"] == [HumanMessage("Hi", id="h1"), answer()]
        found.checkpoint["channel_values"]["messages"][0].content = "changed"
        found.checkpoint["channel_values"]["messages"][1].tool_calls.clear()
