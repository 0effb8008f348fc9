"""What comes back is what was put: values, versions, metadata and writes, of the same types and in the same order."""

import copy
import dataclasses
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from langgraph.types import Interrupt, Send

import lockstitch
from lockstitch.adapters.langgraph import JsonSerializer, LockstitchSaver
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.support.server import LockstitchServer


class Color(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Order:
    number: int
    lines: list[str]


class Note(HumanMessage):
    """A message that LangChain does not know."""


CALLS = AIMessage("I look.", id="a1", tool_calls=[{"name": "look", "args": {"at": "it"}, "id": "c1"}])
ANSWER = ToolMessage("seen", tool_call_id="c1", artifact={"raw": [1, 2]})
VALUES: dict[str, Any] = {
    "text": "å ∑ 🪡",
    "empty text": "",
    "numbers": [0, -1, 2**63 - 1, -(2**63), 1.5, float("inf")],
    "truth": [True, False, None],
    "bytes": b"\x00\xff",
    "list of bytes": [b"", b"\x00", bytearray(b"ab")],
    "empty list": [],
    "list of nothing": [None],
    "lists of lists": [[], [[1]], [("a", 1)]],
    "tuple": (1, "two"),
    "set": {1, 2},
    "deque": deque([1, 2]),
    "dict": {"b": 1, "a": {"c": [1, (2,)]}, 3: "three"},
    "moments": [datetime(2026, 11, 25, tzinfo=UTC), timedelta(seconds=3), Decimal("1.10"), UUID(int=5)],
    "named": [Color.RED, Point(1, 2), Order(1, ["needle", "thread"])],
    "messages": [SystemMessage("Sew."), HumanMessage("Hi", id="h1"), CALLS, ANSWER],
    "sends": [Send("node", {"a": 1}), Interrupt(value={"question": "?"}, id="i1")],
    "": "a channel without a name",
    "marked": {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {}},
}


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple | deque) and isinstance(other, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.parametrize("serde", [None, "json"])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_exactly(server: LockstitchServer, thread_id: str, name: str, serde: Any) -> None:
    with LockstitchSaver(server.target, serde=serde) as saver:
        put = saver.put(config(thread_id), checkpoint({name: VALUES[name]}), metadata(), {name: 1})
        found = saver.get_tuple(put)
    assert found is not None
    back = found.checkpoint["channel_values"]
    assert list(back) == [name]
    # What LangGraph's own serializer does to a value (bytearrays in lists become bytes, say) is its own affair.
    own = JsonPlusSerializer()
    assert same(back[name], VALUES[name]) or same(back[name], own.loads_typed(own.dumps_typed(VALUES[name])))


async def test_everything_beside_values_comes_back_exactly(saver: LockstitchSaver, thread_id: str) -> None:
    made = checkpoint({"a": 1}, {"a": "00000000000000000000000000000002.0.25", "b": 7, "c": 1.5})
    made["versions_seen"] = {"node": {"a": 1}, "__input__": {}}
    made["updated_channels"] = ["b", "a"]
    made["pending_sends"] = [Send("x", 1)]  # type: ignore[typeddict-unknown-key]  # older versions have it
    entries = metadata(-1, writes=None, score=2**80, nested={"a": [1, 2.5, None]}, pair=(1, 2), when=datetime.now(UTC))
    put = await saver.aput(config(thread_id, "parent"), copy.deepcopy(made), entries, {"a": 2})
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.checkpoint == made
    assert same(found.metadata["step"], -1)
    del entries["writes"]  # type: ignore[typeddict-item]  # as LangGraph's own savers do
    assert found.metadata == {**entries, "pair": [1, 2]}  # LangGraph's serializer does so
    assert found.config == put == config(thread_id, made["id"])
    assert found.parent_config == config(thread_id, "parent")
    assert found.pending_writes == []


async def test_scalars_of_the_config_go_into_the_metadata(saver: LockstitchSaver, thread_id: str) -> None:
    given = config(thread_id)
    given["configurable"] |= {"user": "ada", "__hidden": 1, "number": 3}
    given["metadata"] = {"run_id": "run-1", "list": [1]}
    await saver.aput(given, checkpoint({}), metadata(), {})
    found = [item async for item in saver.alist(None, filter={"user": "ada", "run_id": "run-1", "number": 3})]
    mine = [item for item in found if item.config["configurable"]["thread_id"] == thread_id]
    assert len(mine) == 1
    assert mine[0].metadata == {**metadata(), "user": "ada", "number": 3, "run_id": "run-1"}


async def test_steps_are_searched_by(saver: LockstitchSaver, thread_id: str) -> None:
    """Each has a field of its own in a checkpoint, but for -1 and what is no number."""
    steps: list[Any] = [-1, 0, 1, 2**40, 2**70, "1", None, True]
    for step in steps:
        await saver.aput(config(thread_id), checkpoint({}), metadata(step, source=f"{step!r}"), {})
    for step in steps:
        for where in (config(thread_id), None):
            items = [item async for item in saver.alist(where, filter={"step": step, "source": f"{step!r}"})]
            mine = [item for item in items if item.config["configurable"]["thread_id"] == thread_id]
            assert [same(item.metadata["step"], step) for item in mine] == [True]
    assert [item async for item in saver.alist(config(thread_id), filter={"step": 7})] == []


async def test_steps_that_stand_in_the_metadata_are_found(
    server: LockstitchServer, saver: LockstitchSaver, thread_id: str
) -> None:
    """As earlier versions wrote them."""
    put = await saver.aput(config(thread_id), checkpoint({}), metadata(3), {})
    async with lockstitch.AsyncClient(server.target) as client:
        loaded = await client.load_latest(thread_id)
        old = loaded.checkpoint
        assert old is not None
        assert dict(old.metadata) == {"source": '"loop"'}
        header = ormsgpack.unpackb(old.header.data)
        assert header["metadata"].pop("step") == 3
        old.header.data = ormsgpack.packb(header)
        old.metadata["step"] = "3"
        await client.save(old)
    (found,) = [item async for item in saver.alist(config(thread_id), filter={"step": 3})]
    assert found.config == put
    assert found.metadata == metadata(3)


async def test_more_metadata_than_can_be_searched_comes_back_too(saver: LockstitchSaver, thread_id: str) -> None:
    entries = metadata(0, **{f"key-{number}": number for number in range(100)}, **{"k" * 300: "long"})
    put = await saver.aput(config(thread_id), checkpoint({}), entries, {})
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.metadata == entries


async def test_much_metadata_is_found_too(saver: LockstitchSaver, thread_id: str) -> None:
    """More bytes than a server takes by default, in values that are short by themselves."""
    entries = metadata(0, **{f"key-{number}": f"{number} " * 1000 for number in range(40)})
    put = await saver.aput(config(thread_id), checkpoint({}), entries, {})
    await saver.aput(put, checkpoint({}), metadata(1, **{"key-39": "other"}), {})
    for key in ("key-0", "key-39"):
        found = [item async for item in saver.alist(config(thread_id), filter={key: entries[key]})]  # type: ignore[typeddict-item]
        assert [item.metadata for item in found] == [entries]


async def test_writes_come_by_path_task_and_index(saver: LockstitchSaver, thread_id: str) -> None:
    put = await saver.aput(config(thread_id), checkpoint({}), metadata(), {})
    await saver.aput_writes(put, [("a", 1), ("b", [b"x", [1]])], "task-1", "path-2")
    await saver.aput_writes(put, [("a", 2)], "task-3", task_path="path-1")
    await saver.aput_writes(put, [("a", 3)], "task-2", task_path="path-1")
    await saver.aput_writes(put, [(INTERRUPT, "?"), (ERROR, "!")], "task-1", "path-2")
    await saver.aput_writes(put, [], "task-9")
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.pending_writes == [
        ("task-2", "a", 3),
        ("task-3", "a", 2),
        ("task-1", INTERRUPT, "?"),
        ("task-1", ERROR, "!"),
        ("task-1", "a", 1),
        ("task-1", "b", [b"x", [1]]),
    ]


async def test_the_first_write_stays_and_special_ones_are_replaced(saver: LockstitchSaver, thread_id: str) -> None:
    put = await saver.aput(config(thread_id), checkpoint({}), metadata(), {})
    for value in (1, 2):
        await saver.aput_writes(put, [("a", value)], "task")
        await saver.aput_writes(put, [(RESUME, value)], "task")
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.pending_writes == [("task", RESUME, 2), ("task", "a", 1)]


async def test_writes_may_come_before_their_checkpoint(saver: LockstitchSaver, thread_id: str) -> None:
    made = checkpoint({})
    await saver.aput_writes(config(thread_id, made["id"]), [("a", 1)], "task")
    assert await saver.aget_tuple(config(thread_id)) is None
    put = await saver.aput(config(thread_id), made, metadata(), {})
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.pending_writes == [("task", "a", 1)]


async def test_forks_with_the_same_integer_versions_do_not_mix(saver: LockstitchSaver, thread_id: str) -> None:
    root = await saver.aput(config(thread_id), checkpoint({"log": ["a"], "last": "a"}), metadata(0), {"log": 1})
    forks = {}
    for name in ("b", "c"):
        made = checkpoint({"log": ["a", name], "last": name}, {"log": 2, "last": 2})
        forks[name] = await saver.aput(root, made, metadata(1), {"log": 2, "last": 2})
    for name, put in forks.items():
        for step in (2, 3):
            found = await saver.aget_tuple(put)
            assert found is not None
            log = found.checkpoint["channel_values"]["log"]
            assert log == ["a", *name * (step - 1)]
            made = checkpoint({"log": [*log, name], "last": name}, {"log": step + 1, "last": 2})
            put = await saver.aput(put, made, metadata(step), {"log": step + 1})
        found = await saver.aget_tuple(put)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"log": ["a", name, name, name], "last": name}
    found = await saver.aget_tuple(root)
    assert found is not None
    assert found.checkpoint["channel_values"]["log"] == ["a"]


async def test_a_put_again_replaces(saver: LockstitchSaver, thread_id: str) -> None:
    made = checkpoint({"a": [1, 2]})
    put = await saver.aput(config(thread_id), made, metadata(), {"a": 1})
    made["channel_values"] = {"a": [3], "b": None}
    await saver.aput(config(thread_id), made, metadata(5), {"a": 1})
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": [3], "b": None}
    assert found.metadata["step"] == 5


@pytest.mark.parametrize("fresh", [False, True], ids=["the same saver", "another saver"])
async def test_what_kept_its_version_and_is_left_out_carries_on(
    server: LockstitchServer, thread_id: str, fresh: bool
) -> None:
    """As with LangGraph's savers that keep values by version."""
    memory = InMemorySaver()
    saver = LockstitchSaver(server.target)
    put = {}
    for name, each in (("ours", saver), ("theirs", memory)):
        first = checkpoint({"a": "1", "b": ["x"], "gone": 0}, {"a": 1, "b": 1, "gone": 1, "never": 1}, f"{1:04}")
        await each.aput(config(thread_id), first, metadata(), first["channel_versions"])
        if fresh and each is saver:
            await saver.aclose()
            each = saver = LockstitchSaver(server.target)
        second = checkpoint({"a": "2"}, {"a": 2, "b": 1, "gone": 2, "never": 1}, f"{2:04}")
        put[name] = await each.aput(config(thread_id, f"{1:04}"), second, metadata(1), {"a": 2, "gone": 2})
    found, wanted = await saver.aget_tuple(put["ours"]), await memory.aget_tuple(put["theirs"])
    await saver.aclose()
    assert found is not None
    assert wanted is not None
    assert found.checkpoint["channel_values"] == wanted.checkpoint["channel_values"] == {"a": "2", "b": ["x"]}


async def test_an_error_of_the_serializer_reaches_the_caller(saver: LockstitchSaver, thread_id: str) -> None:
    for value in (2**70, [2**70], [object()]):
        with pytest.raises(TypeError):
            await saver.aput(config(thread_id), checkpoint({"a": value}), metadata(), {"a": 1})
    assert await saver.aget_tuple(config(thread_id)) is None


async def test_a_list_that_msgpack_cannot_hold_is_pickled_whole(server: LockstitchServer, thread_id: str) -> None:
    async with LockstitchSaver(server.target, serde=JsonPlusSerializer(pickle_fallback=True)) as saver:
        value = [1, 2**70]
        put = await saver.aput(config(thread_id), checkpoint({"a": value}), metadata(), {"a": 1})
        found = await saver.aget_tuple(put)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": value}
    async with lockstitch.AsyncClient(server.target) as client:
        stored = (await client.load_latest(thread_id)).checkpoint
    assert stored is not None
    assert stored.state.custom["a"].blob.type == "pickle"


async def test_a_copy_with_an_allowlist_shares_the_connection(server: LockstitchServer, thread_id: str) -> None:
    async with LockstitchSaver(server.target, serde=JsonPlusSerializer(allowed_msgpack_modules=None)) as saver:
        clone = saver.with_allowlist([("tests.adapters.test_langgraph_values", "Order")])
        assert clone is not saver
        put = await clone.aput(config(thread_id), checkpoint({"a": Order(1, [])}), metadata(), {"a": 1})
        found = await clone.aget_tuple(put)
        assert found is not None
        assert found.checkpoint["channel_values"]["a"] == Order(1, [])
        strict = await saver.aget_tuple(put)
        assert strict is not None
        assert not isinstance(strict.checkpoint["channel_values"]["a"], Order)
        assert clone._connections is saver._connections  # type: ignore[attr-defined]  # it is a LockstitchSaver


async def test_other_languages_read_json_state(server: LockstitchServer, thread_id: str) -> None:
    async with LockstitchSaver(server.target, serde="json") as saver:
        values = {"messages": [HumanMessage("Hi", id="h1")], "plan": {"steps": ["cut", "sew"]}}
        await saver.aput(config(thread_id), checkpoint(values), metadata(), {"messages": 1, "plan": 1})
    async with lockstitch.AsyncClient(server.target) as client:
        stored = (await client.load_latest(thread_id)).checkpoint
    assert stored is not None
    assert stored.header.type == "json"
    (item,) = stored.state.custom["messages"].list.items
    assert item.type == "json"
    message: Any = lockstitch.json_value(item.data.decode())
    assert message["id"][-1] == "HumanMessage"
    assert message["kwargs"] == {"content": "Hi", "id": "h1", "type": "human"}
    blob = stored.state.custom["plan"].blob
    assert (blob.type, lockstitch.json_value(blob.data.decode())) == ("json", {"steps": ["cut", "sew"]})


def test_json_is_for_what_json_holds_exactly() -> None:
    serde = JsonSerializer()
    kinds = {name: serde.dumps_typed(value)[0] for name, value in VALUES.items()}
    assert {name for name, kind in kinds.items() if kind == "json"} == {
        "text",
        "empty text",
        "truth",
        "empty list",
        "list of nothing",
        "messages",
        "",
    }
    nested = {"input": {"messages": [HumanMessage("Hi", id="h1")], "size": 1}}
    kind, data = serde.dumps_typed(nested)
    assert (kind, serde.loads_typed((kind, data))) == ("json", nested)
    assert serde.dumps_typed({"messages": [HumanMessage("Hi")], "lc": 1})[0] == "msgpack"
    assert [serde.dumps_typed(message)[0] for message in VALUES["messages"]] == ["json"] * 4
    assert serde.dumps_typed(ToolMessage("seen", tool_call_id="c1", artifact={1}))[0] == "msgpack"
    assert serde.dumps_typed(HumanMessage("Hi", additional_kwargs={"color": Color.RED}))[0] == "msgpack"
    assert serde.dumps_typed(Note(content="Hi"))[0] == "msgpack"
    assert serde.dumps_typed("\ud800")[0] == "msgpack"


def test_versions_go_on_as_they_began() -> None:
    saver = LockstitchSaver()
    assert [saver.get_next_version(each, None) for each in (None, 1, 4)] == [1, 2, 5]
    theirs = saver.get_next_version("00000000000000000000000000000009.0.5", None)
    assert theirs.startswith("00000000000000000000000000000010.0.")
    assert theirs > "00000000000000000000000000000009.0.9"
