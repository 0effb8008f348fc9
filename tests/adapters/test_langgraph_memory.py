"""LangGraph's store on Lockstitch, beside the one in memory of LangGraph itself."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import GetOp, Item, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

import lockstitch
from lockstitch.adapters.langgraph import LockstitchMemory
from tests.support.server import LockstitchServer

PATIENCE_SECONDS = 30.0


@pytest.fixture(params=["sqlite_server", "postgres_server"])
def target(request: pytest.FixtureRequest) -> str:
    server: LockstitchServer = request.getfixturevalue(request.param)
    return server.target


@pytest.fixture
def memory(target: str) -> Iterator[LockstitchMemory]:
    memory = LockstitchMemory(target, prefix=f"memory-{uuid4()}")
    yield memory
    memory.close()


def known(item: Item | None) -> Any:
    """What two stores have in common: not the times."""
    return None if item is None else (item.namespace, item.key, item.value)


def fill(store: Any) -> None:
    for number in range(12):
        value = {"n": number, "kind": "even" if number % 2 == 0 else "odd", "deep": {"er": [number, None]}}
        store.put(("users", f"u{number % 3}", "facts"), f"k/{number}~", value)
    store.put(("users",), "users", {"n": 3.5, "kind": "of their own"})
    store.put(("users-2", "u0"), "other", {"kind": "odd", "n": 100})
    store.put(("docs", "ä"), "ö" * 50, {"n": -1})


SEARCHES: list[dict[str, Any]] = [
    {},
    {"filter": {"kind": "odd"}},
    {"filter": {"n": {"$gt": 2, "$lte": 9}}},
    {"filter": {"n": {"$gte": 3.5}, "kind": {"$ne": "odd"}}},
    {"filter": {"deep": {"er": [3, None]}}},
    {"filter": {"n": {"$eq": 4}}},
    {"filter": {"n": {"$lt": 1}}},
    {"filter": {"nothing": 1}},
    {"query": "which is not embedded"},
]
PREFIXES: list[tuple[str, ...]] = [(), ("users",), ("users", "u1"), ("users", "u1", "facts"), ("user",), ("docs",)]


def test_searches_find_what_langgraph_finds(memory: LockstitchMemory) -> None:
    model = InMemoryStore()
    for store in (memory, model):
        fill(store)
    for prefix in PREFIXES:
        for search in SEARCHES:
            found = memory.search(prefix, limit=100, **search)
            expected = model.search(prefix, limit=100, **search)
            assert sorted(map(known, found)) == sorted(map(known, expected)), (prefix, search)
    pages = [memory.search(("users",), limit=5, offset=offset) for offset in (0, 5, 10, 15)]
    assert list(map(len, pages)) == [5, 5, 3, 0]
    assert len({(item.namespace, item.key) for page in pages for item in page}) == 13
    assert [item.key for item in memory.search((), limit=3)] == ["ö" * 50, "other", "users"]  # last changed first
    assert len(memory.search(("users",), filter={"kind": "odd"}, limit=2, offset=5)) == 1
    with pytest.raises(ValueError, match=r"\$in"):
        memory.search(("users",), filter={"n": {"$in": [1]}})
    memory.put(("users",), "no number", {"n": "three"})
    assert len(memory.search(("users",), filter={"n": {"$gt": 3}})) == 9  # LangGraph's raises an error


LISTS: list[dict[str, Any]] = [
    {},
    {"prefix": ("users",)},
    {"prefix": ("users", "*", "facts")},
    {"suffix": ("facts",)},
    {"prefix": ("*", "u0")},
    {"prefix": ("users",), "suffix": ("u1", "facts")},
    {"max_depth": 1},
    {"max_depth": 2, "limit": 2, "offset": 1},
    {"prefix": ("nobody",)},
]


def test_lists_of_namespaces_are_those_of_langgraph(memory: LockstitchMemory) -> None:
    model = InMemoryStore()
    for store in (memory, model):
        fill(store)
    for options in LISTS:
        assert memory.list_namespaces(**options) == model.list_namespaces(**options), options


def test_an_item_is_put_got_replaced_and_deleted(memory: LockstitchMemory) -> None:
    where = ("users", "ada")
    assert memory.get(where, "tea") is None
    memory.put(where, "tea", {"likes": "green", "cups": [1, 2]})
    first = memory.get(where, "tea")
    assert first is not None
    assert known(first) == (where, "tea", {"likes": "green", "cups": [1, 2]})
    memory.put(where, "tea", {"likes": "black"})
    second = memory.get(where, "tea")
    assert second is not None
    assert second.value == {"likes": "black"}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at >= first.created_at - timedelta(seconds=1)
    assert memory.search(where)[0].updated_at == second.updated_at
    memory.put(where, "tea", {})
    assert known(memory.get(where, "tea")) == (where, "tea", {})
    memory.delete(where, "tea")
    memory.delete(where, "tea")
    assert memory.get(where, "tea") is None
    assert memory.search(()) == []


async def test_a_batch_reads_before_it_writes(memory: LockstitchMemory) -> None:
    where = ("a",)
    results = await memory.abatch(
        [
            PutOp(where, "k", {"n": 1}),
            GetOp(where, "k"),
            PutOp(where, "k", {"n": 2}),
            SearchOp(where),
            ListNamespacesOp(),
        ]
    )
    assert results == [None, None, None, [], []]
    assert known(await memory.aget(where, "k")) == (where, "k", {"n": 2})
    with pytest.raises(TypeError, match="str"):
        memory.batch(["put"])  # type: ignore[list-item]
    await memory.aclose()


async def test_concurrent_puts_leave_one_of_them(memory: LockstitchMemory, target: str) -> None:
    values: list[dict[str, Any]] = [{"n": number, "list": [number] * number} for number in range(20)]
    other = LockstitchMemory(target, prefix=memory._prefix)
    await asyncio.gather(*((memory, other)[number % 2].aput(("a",), "k", value) for number, value in enumerate(values)))
    item = await memory.aget(("a",), "k")
    assert item is not None
    assert item.value in values
    assert len(await other.asearch(())) == 1
    await memory.aclose()
    await other.aclose()


def expiry(target: str, memory: LockstitchMemory, key: str) -> float | None:
    """When an item expires; None: never."""
    with lockstitch.Client(target) as client:
        summary = client.get_session(f"{memory._prefix}/a/{key}").summary
        return summary.expire_at.ToNanoseconds() / 1e9 if summary.HasField("expire_at") else None


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_items_expire_unless_they_are_read(target: str) -> None:
    memory = LockstitchMemory(target, prefix=f"memory-{uuid4()}", ttl={"default_ttl": 60, "refresh_on_read": True})
    memory.put(("a",), "short", {"n": 1}, ttl=1 / 60)
    memory.put(("a",), "long", {"n": 2})
    memory.put(("a",), "ever", {"n": 3}, ttl=None)
    assert expiry(target, memory, "ever") is None
    began = expiry(target, memory, "long")
    assert began is not None
    assert memory.get(("a",), "long", refresh_ttl=False) is not None
    assert expiry(target, memory, "long") == began
    for read in (lambda: memory.get(("a",), "long"), lambda: memory.search(("a",), filter={"n": 2})):
        before = expiry(target, memory, "long")
        assert before is not None
        read()
        assert (expiry(target, memory, "long") or 0) > before
    wait_for(lambda: memory.get(("a",), "short", refresh_ttl=False) is None)
    assert sorted(item.key for item in memory.search(())) == ["ever", "long"]
    memory.put(("a",), "long", {"n": 2}, ttl=None)  # the same value
    assert expiry(target, memory, "long") is None
    memory.close()


def test_what_would_change_is_refused(memory: LockstitchMemory) -> None:
    with pytest.raises(TypeError, match="pair"):
        memory.put(("a",), "k", {"pair": (1, 2)})
    with pytest.raises(ValueError, match="255"):
        memory.put(("a",), "k" * 300, {})
    assert memory.search(()) == []


def test_other_programs_read_an_item_as_plain_state(memory: LockstitchMemory, target: str) -> None:
    memory.put(("a",), "k", {"likes": ["tea"]})
    with lockstitch.Client(target) as client:
        assert client.thread(f"{memory._prefix}/a/k").load() == {"likes": ["tea"]}
        client.save(lockstitch.Checkpoint(session_id=f"{memory._prefix}/a/foreign"))
    with pytest.raises(ValueError, match="not an item"):
        memory.get(("a",), "foreign")


class Question(TypedDict, total=False):
    user: str
    answer: str


def remember(state: Question, runtime: Runtime[None]) -> Question:
    assert runtime.store is not None
    where = ("users", state["user"])
    item = runtime.store.get(where, "visits")
    visits = item.value["n"] + 1 if item else 1
    runtime.store.put(where, "visits", {"n": visits})
    return {"answer": f"visit {visits}"}


async def test_a_graph_remembers_across_threads(memory: LockstitchMemory) -> None:
    builder = StateGraph(Question)
    builder.add_node("remember", remember)
    builder.add_edge(START, "remember")
    graph = builder.compile(store=memory)
    assert graph.invoke({"user": "ada"})["answer"] == "visit 1"
    assert (await graph.ainvoke({"user": "ada"}))["answer"] == "visit 2"
    assert graph.invoke({"user": "bob"})["answer"] == "visit 1"
