"""A list of messages that goes on from its parent's is saved as it is, at the cost of its new messages."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.adapters.langgraph import LockstitchSaver, _valued
from lockstitch.adapters.langgraph._dumped import Dumped, to_blob
from lockstitch.adapters.langgraph._grown import grown
from lockstitch.v1.checkpoint_pb2 import TypedBlob
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.adapters.test_langgraph_dumped import CHANGES, MESSAGES
from tests.support.server import LockstitchServer

SERDE = JsonPlusSerializer()
COUNT = 100


@pytest.fixture
def saver(server: LockstitchServer) -> Iterator[LockstitchSaver]:
    with LockstitchSaver(server.target) as saver:
        yield saver


@pytest.fixture
def other(server: LockstitchServer) -> Iterator[LockstitchSaver]:
    """A saver that remembers nothing of what the first one does."""
    with LockstitchSaver(server.target) as saver:
        yield saver


@pytest.fixture
def dumped(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The messages that have been dumped or looked up."""
    seen: list[Any] = []

    def noted(self: Dumped, serde: Any, value: Any) -> TypedBlob:
        seen.append(value)
        return to_blob(serde, value)

    monkeypatch.setattr(Dumped, "to_blob", noted)
    return seen


def save(saver: LockstitchSaver, place: Any, version: int, messages: Any) -> Any:
    values = checkpoint({"messages": messages}, {"messages": version})
    return saver.put(place, values, metadata(version), {"messages": version})


def loaded(saver: LockstitchSaver, place: Any) -> Any:
    found = saver.get_tuple(place)
    assert found is not None
    return found.checkpoint["channel_values"]["messages"]


def some_messages(count: int = COUNT) -> list[BaseMessage]:
    return [HumanMessage(f"question {number}", id=str(number)) for number in range(count)]


CHANGED: dict[str, Callable[[list[Any]], list[Any]]] = {
    "goes on": lambda messages: [*messages, AIMessage("more", id="a")],
    "is the same": lambda messages: messages,
    "is shorter": lambda messages: messages[:-1],
    "is empty": lambda messages: [],
    "begins otherwise": lambda messages: messages[1:],
    "has another message in it": lambda messages: [*messages[:50], AIMessage("other", id="a"), *messages[50:]],
    "has another class": lambda messages: [AIMessage(messages[0].content, id=messages[0].id), *messages[1:]],
    "has messages that are not plain": lambda messages: [*messages, HumanMessage("x", things={1, 2})],
    "has no messages": lambda messages: [1, 2, 3],
    "has more than messages": lambda messages: [*messages, "text"],
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_list_is_saved_as_it_is(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str, change: Callable[[Any], Any]
) -> None:
    messages: Any = some_messages()
    place = save(saver, config(thread_id), 1, messages)
    for version in (2, 3):
        messages = change(messages)
        place = save(saver, place, version, messages)
        for reader in (saver, other):
            found = loaded(reader, place)
            assert found == messages
            assert list(map(type, found)) == list(map(type, messages))


@pytest.mark.parametrize("at", [0, COUNT - 1])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_message_that_was_changed_in_place_is_saved(at: int, change: Any) -> None:
    messages = some_messages()
    before = grown(SERDE, messages, None)
    assert before is not None
    assert before.kept == 0
    messages[at].additional_kwargs["changed"] = {"deep": [change]}
    after = grown(SERDE, [*messages, HumanMessage("more")], before.content)
    assert after is None or after.kept == 0


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("count", [1, 7, 8, 40_000], ids=str)
def test_what_a_list_begins_with_is_known_again(make: Callable[[], BaseMessage], count: int) -> None:
    message = make()
    first = grown(SERDE, [message] * count, None)
    if first is None:  # of a class that LangChain does not know
        assert type(message).__module__ == "tests.adapters.test_langgraph_dumped"
        return
    for more in (0, 1, 8):
        found = grown(SERDE, [message.model_copy(deep=True)] * (count + more), first.content)
        assert found is not None
        assert found.kept == count
        assert (found.content == first.content) is (more == 0)


def test_only_new_messages_are_dumped(saver: LockstitchSaver, thread_id: str, dumped: list[Any]) -> None:
    messages = some_messages()
    place = save(saver, config(thread_id), 1, messages)
    assert dumped == messages
    dumped.clear()
    messages = [*loaded(saver, config(thread_id)), AIMessage("more", id="a")]
    save(saver, place, 2, messages)
    assert dumped == messages[-1:]


def test_lists_that_are_too_large_to_keep_are_dumped(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_valued, "MOST_BYTES", 2_000)
    messages, place = some_messages(), config(thread_id)
    for version in (1, 2, 3):
        place = save(saver, place, version, messages)
        assert loaded(other, place) == messages
        messages = [*messages, AIMessage("more", id=str(version))]


def test_other_content_of_another_saver_is_not_gone_on_from(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str
) -> None:
    messages = some_messages()
    saved = checkpoint({"messages": messages}, {"messages": 1})
    place = saver.put(config(thread_id), saved, metadata(1), {"messages": 1})
    replaced = [*messages[:-1], AIMessage("other", id="a")]
    other.put(config(thread_id), {**saved, "channel_values": {"messages": replaced}}, metadata(1), {"messages": 1})
    assert loaded(saver, place) == replaced
    for version, more in enumerate(([*replaced, AIMessage("more", id="b")], [*messages, AIMessage("c", id="c")]), 2):
        assert loaded(other, save(saver, place, version, more)) == more
