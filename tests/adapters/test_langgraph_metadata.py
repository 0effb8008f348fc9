"""Metadata entries are found by a list wherever a put has stored them: as LangGraph's own savers find them."""

from collections.abc import Iterator, Mapping
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from lockstitch.adapters.langgraph import LockstitchSaver
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.support.server import LockstitchServer


class Colour(StrEnum):
    RED = "red"


class Mixed(str, Enum):  # noqa: UP042 - as older programs have them
    RED = "red"


class Number(IntEnum):
    ONE = 1
    THREE = 3


MANY: dict[str, Any] = {f"k{number:03}": number for number in range(100)}

STORED: dict[str, dict[str, Any]] = {
    "more than the server takes": MANY,
    "a key of more than 255 bytes": {"k" * 300: 1},
    "a value of 5,000 bytes": {"text": "x" * 5000},
    "a class of its own": {"a": Colour.RED, "b": Number.ONE, "c": 0.5},
    "text that is mixed with a class": {"a": Mixed.RED},
    "numbers that are equal": {"a": 1.0, "b": 2},
    "entries of ours": {"lockstitch.delta": "x", "lockstitch.spilled": True},
    "a step that is a float": {"step": 3.0},
    "a step that is no step": {"step": "three"},
    "nested": {"a": {"b": [1, None]}},
}

WANTED: list[dict[str, Any]] = [
    {"k099": 99},
    {"k000": 0, "k099": 99, "source": "loop"},
    MANY,
    {"k" * 300: 1},
    {"text": "x" * 5000},
    {"a": "red"},
    {"a": Colour.RED, "b": Number.ONE},
    {"b": 1, "c": 0.5},
    {"a": 1, "b": 2.0},
    {"lockstitch.delta": "x"},
    {"lockstitch.spilled": True},
    {"step": 3},
    {"step": 3.0},
    {"step": Number.THREE},
    {"step": "three"},
    {"a": {"b": [1, None]}},
    {"source": "loop", "missing": "x"},
]


@pytest.fixture(scope="module")
def threads(sqlite_server: LockstitchServer) -> Iterator[tuple[LockstitchSaver, InMemorySaver, str]]:
    """A thread with all that is stored, in both savers."""
    thread_id, memory = f"metadata-{uuid4()}", InMemorySaver()
    with LockstitchSaver(sqlite_server.target) as saver:
        for name, entries in STORED.items():
            made, given = checkpoint({}), {**metadata(), **entries, "name": name}
            saver.put(config(thread_id), made, given, {})  # type: ignore[arg-type]  # what a caller may pass
            memory.put(config(thread_id), made, given, {})  # type: ignore[arg-type]
        yield saver, memory, thread_id


def names(saver: Any, thread_id: str, wanted: Mapping[str, Any]) -> list[str]:
    return [found.metadata["name"] for found in saver.list(config(thread_id), filter=wanted)]


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: str(wanted)[:40].encode("ascii", "replace").decode())
def test_what_langgraphs_saver_finds_is_found(
    threads: tuple[LockstitchSaver, InMemorySaver, str], wanted: dict[str, Any]
) -> None:
    saver, memory, thread_id = threads
    expected = names(memory, thread_id, wanted)
    assert expected or "missing" in wanted
    assert names(saver, thread_id, wanted) == expected


def test_all_of_it_comes_back(threads: tuple[LockstitchSaver, InMemorySaver, str]) -> None:
    saver, memory, thread_id = threads
    found = {item.metadata["name"]: item.metadata for item in saver.list(config(thread_id))}  # type: ignore[typeddict-item]
    for item in memory.list(config(thread_id)):
        assert found[item.metadata["name"]] == item.metadata  # type: ignore[typeddict-item]


@pytest.mark.parametrize("number", [0, 61, 62, 63, 64, 200])
def test_runs_are_deleted_however_much_metadata_they_have(
    server: LockstitchServer, thread_id: str, number: int
) -> None:
    run_id = str(uuid4())
    entries: Any = {**{f"k{index}": index for index in range(number)}, "run_id": run_id}
    with LockstitchSaver(server.target) as saver:
        saver.put(config(thread_id), checkpoint({}), entries, {})
        saver.put(config(thread_id), checkpoint({}), metadata(run_id="another"), {})
        saver.delete_for_runs([run_id])
        (left,) = saver.list(config(thread_id))
        assert left.metadata["run_id"] == "another"


@pytest.mark.parametrize("strategy", ["delete", "delete_all"])
def test_a_thread_is_pruned_as_a_whole(server: LockstitchServer, thread_id: str, strategy: str) -> None:
    with LockstitchSaver(server.target) as saver:
        saver.put(config(thread_id), checkpoint({}), metadata(), {})
        saver.put(config(f"{thread_id}-other"), checkpoint({}), metadata(), {})
        saver.prune([thread_id], strategy=strategy)
        assert list(saver.list(config(thread_id))) == []
        assert len(list(saver.list(config(f"{thread_id}-other")))) == 1
        with pytest.raises(ValueError, match="delete_all"):
            saver.prune([thread_id], strategy="all")
