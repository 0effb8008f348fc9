"""A saver does not fetch again what it has saved or loaded itself, and never takes that for what others have saved."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from lockstitch import View
from lockstitch._api import Api
from lockstitch.adapters.langgraph import LockstitchSaver, _valued
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.support.server import LockstitchServer

VALUES: dict[str, Any] = {
    "messages": [HumanMessage("Hi", id="h1"), HumanMessage("there", id="h2")],
    "list": [1, 2.5, None],
    "text": "hello",
    "nothing": None,
    "empty": [],
    "deep": {"a": [{"b": (1, 2)}]},
}


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
def views(monkeypatch: pytest.MonkeyPatch) -> list[View]:
    """How much of a checkpoint each load has asked for."""
    asked: list[View] = []

    def counted(load: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def loads(api: Api, *arguments: Any, view: View = View.FULL, **named: Any) -> Any:
            asked.append(view)
            return await load(api, *arguments, view=view, **named)

        return loads

    monkeypatch.setattr(Api, "load_latest", counted(Api.load_latest))
    monkeypatch.setattr(Api, "load", counted(Api.load))
    return asked


def save(saver: LockstitchSaver, place: Any, number: int, **values: Any) -> Any:
    """A checkpoint in which these channels are new."""
    versions: Any = dict.fromkeys(values, number)
    return saver.put(place, checkpoint(values, versions), metadata(number), versions)


def test_what_was_saved_is_fetched_without_its_state(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str, views: list[View]
) -> None:
    place = save(saver, config(thread_id), 1, **VALUES)
    for where in (config(thread_id), place):
        assert saver.get_tuple(where) == other.get_tuple(where)
    assert views == [View.HEADER, View.FULL, View.HEADER, View.HEADER]


def test_what_was_loaded_is_not_fetched_again(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str, views: list[View]
) -> None:
    save(saver, config(thread_id), 1, **VALUES)
    assert other.get_tuple(config(thread_id)) == other.get_tuple(config(thread_id))
    assert views == [View.FULL, View.HEADER]


def test_what_a_graph_does_to_its_values_stays_with_it(saver: LockstitchSaver, thread_id: str) -> None:
    values = {"list": [[1]], "messages": [HumanMessage("Hi", id="h1")]}
    save(saver, config(thread_id), 1, **values)
    for _ in range(2):
        found = saver.get_tuple(config(thread_id))
        assert found is not None
        channels = found.checkpoint["channel_values"]
        assert channels == {"list": [[1]], "messages": [HumanMessage("Hi", id="h1")]}
        channels["list"][0].append(2)
        channels["messages"][0].content = "changed"


OTHERS: dict[str, Callable[[LockstitchSaver, str, Any], Any]] = {
    "a checkpoint": lambda other, _, place: save(other, place, 2, text="new"),
    "nothing more": lambda other, thread_id, _: other.delete_thread(thread_id),
    "pending writes": lambda other, _, place: other.put_writes(place, [("text", "new")], "task"),
}


@pytest.mark.parametrize("do", OTHERS.values(), ids=OTHERS)
def test_what_another_has_done_is_seen(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str, do: Callable[[LockstitchSaver, str, Any], Any]
) -> None:
    place = save(saver, config(thread_id), 1, **VALUES)
    before = saver.get_tuple(config(thread_id))
    do(other, thread_id, place)
    found = saver.get_tuple(config(thread_id))
    assert found == other.get_tuple(config(thread_id)) != before
    assert saver.get_tuple(config(thread_id)) == found


@pytest.mark.parametrize("anew", [False, True], ids=["replaced", "of a thread begun anew"])
def test_other_content_under_the_same_id_is_seen(
    saver: LockstitchSaver, other: LockstitchSaver, thread_id: str, anew: bool
) -> None:
    saved = checkpoint({"text": "old"}, {"text": 1})
    place = saver.put(config(thread_id), saved, metadata(1), {"text": 1})
    if anew:
        other.delete_thread(thread_id)
    other.put(config(thread_id), {**saved, "channel_values": {"text": "new"}}, metadata(1), {"text": 1})
    for where in (config(thread_id), place):
        found = saver.get_tuple(where)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"text": "new"}


def test_a_branch_is_told_from_what_it_left(saver: LockstitchSaver, other: LockstitchSaver, thread_id: str) -> None:
    first = save(saver, config(thread_id), 1, text="first", list=[1])
    save(saver, first, 2, text="second", list=[1, 2])
    assert saver.get_tuple(first) == other.get_tuple(first)
    branch = save(saver, first, 3, text="third", list=[1, 3])
    for where in (first, branch, config(thread_id)):
        assert saver.get_tuple(where) == other.get_tuple(where)


def test_large_states_are_not_kept(
    saver: LockstitchSaver, thread_id: str, views: list[View], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_valued, "MOST_BYTES", 10_000)
    save(saver, config(thread_id), 1, text="x" * 20_000)
    save(saver, config(f"{thread_id}-2"), 1, text="x" * 6_000)
    save(saver, config(f"{thread_id}-3"), 1, text="x" * 6_000)
    for thread in (thread_id, f"{thread_id}-2", f"{thread_id}-3"):
        found = saver.get_tuple(config(thread))
        assert found is not None
        assert set(found.checkpoint["channel_values"]["text"]) == {"x"}
    assert views == [View.FULL, View.FULL, View.FULL]
    assert saver._settings.valued._bytes <= 10_000
