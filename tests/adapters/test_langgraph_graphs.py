"""Graphs run on Lockstitch as they do on LangGraph's own saver: every checkpoint of them looks the same."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import lockstitch
from lockstitch import Retention
from lockstitch.adapters.langgraph import LockstitchSaver
from tests.adapters.checkpoints import config
from tests.adapters.graphs import Graph, answers, approval, crowd, history, noting, said
from tests.support.server import LockstitchServer

Savers = tuple[BaseCheckpointSaver[Any], BaseCheckpointSaver[Any]]
Scenario = Callable[[Graph, RunnableConfig], None]


@pytest.fixture(params=[None, "json"], ids=["msgpack", "json"])
def blocking(server: LockstitchServer, request: pytest.FixtureRequest) -> Iterator[LockstitchSaver]:
    with LockstitchSaver(server.target, serde=request.param) as saver:
        yield saver


def approve_twice(graph: Graph, thread: RunnableConfig) -> None:
    for text, answer in (("sew a button", True), ("cut the sleeve", False)):
        graph.invoke(said(text), thread)
        graph.invoke(Command(resume=answer), thread)


def go_back(graph: Graph, thread: RunnableConfig) -> None:
    """Time travel: on from an earlier checkpoint, with another answer; then a fork with a state of its own."""
    approve_twice(graph, thread)
    past = [state for state in graph.get_state_history(thread) if state.next == ("ask",)]
    graph.invoke(Command(resume=True), past[0].config)
    fork = graph.update_state(past[-1].config, {"log": ["forked"]}, as_node="plan")
    graph.invoke(None, fork)
    graph.invoke(Command(resume=False), thread)


@pytest.mark.parametrize("scenario", [approve_twice, go_back])
def test_a_thread_looks_as_on_the_saver_in_memory(
    blocking: LockstitchSaver, thread_id: str, scenario: Scenario
) -> None:
    seen = []
    for saver in (blocking, InMemorySaver()):
        graph = approval(saver)
        scenario(graph, config(thread_id))
        seen.append(history(graph, config(thread_id)))
    assert seen[0] == seen[1]
    assert seen[0][0]["values"]["log"][-1] == "left it"


def test_fans_subgraphs_and_their_interrupts(blocking: LockstitchSaver, thread_id: str) -> None:
    thread: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    results = []
    for saver in (blocking, InMemorySaver()):
        graph = crowd(saver)
        asked = graph.invoke({"log": []}, thread)
        assert len(asked["__interrupt__"]) == 3
        results.append((graph.invoke(answers(graph, thread), thread), history(graph, thread)))
    assert results[0] == results[1]
    assert results[0][0]["log"][-1] == "6 heard"


async def test_asynchronous_runs_of_many_threads_at_once(saver: LockstitchSaver, thread_id: str) -> None:
    graph = approval(saver)
    threads = [config(f"{thread_id}-{number}") for number in range(20)]
    await asyncio.gather(*(graph.ainvoke(said("sew"), thread) for thread in threads))
    done = await asyncio.gather(*(graph.ainvoke(Command(resume=True), thread) for thread in threads))
    assert [state["log"] for state in done] == [["plan", "asked", "acted"]] * 20


def test_one_saver_serves_loops_and_threads(server: LockstitchServer, thread_id: str) -> None:
    with LockstitchSaver(server.target) as saver:
        graph = approval(saver)
        graph.invoke(said("sew"), config(thread_id))

        async def resume() -> Any:
            try:
                return await graph.ainvoke(Command(resume=True), config(thread_id))
            finally:
                await saver.aclose()

        assert asyncio.run(resume())["log"] == ["plan", "asked", "acted"]
        asyncio.run(graph.ainvoke(said("mend"), config(thread_id)))
        assert graph.invoke(Command(resume=False), config(thread_id))["log"][-1] == "left it"


@pytest.mark.parametrize("frequency", [2, 1000])
def test_delta_channels_are_put_together(blocking: LockstitchSaver, thread_id: str, frequency: int) -> None:
    seen = []
    for saver in (blocking, InMemorySaver()):
        graph = noting(saver, frequency)
        for number in range(5):
            graph.invoke({"notes": [f"input {number}"]}, config(thread_id))
        past = list(graph.get_state_history(config(thread_id)))[7]
        graph.invoke({"notes": ["a fork"]}, past.config)
        seen.append([each["values"] for each in history(graph, config(thread_id))])
    assert seen[0] == seen[1]
    assert seen[0][0]["notes"][-2:] == ["a fork", "note 4"] or seen[0][0]["notes"][-2] == "a fork"


async def test_a_delta_channels_history_is_one_call(server: LockstitchServer, thread_id: str) -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver as Base

    async with LockstitchSaver(server.target) as saver:
        graph = noting(saver, 4)
        for number in range(5):
            await graph.ainvoke({"notes": [f"input {number}"]}, config(thread_id))
        latest = await saver.aget_tuple(config(thread_id))
        assert latest is not None
        ours = await saver.aget_delta_channel_history(config=latest.config, channels=["notes", "turn", "none"])
        walked = await Base.aget_delta_channel_history(saver, config=latest.config, channels=["notes", "turn", "none"])
        assert ours == walked
        assert await saver.aget_delta_channel_history(config=config("nobody"), channels=["a"]) == {"a": {"writes": []}}
        assert await saver.aget_delta_channel_history(config=latest.config, channels=[]) == {}


@pytest.mark.parametrize("frequency", [2, 5, 1000])
def test_retention_keeps_what_delta_channels_are_restored_from(
    server: LockstitchServer, blocking: LockstitchSaver, thread_id: str, frequency: int
) -> None:
    """The saver's own prune, and the server's: the same values after it, and the next run goes on from them."""
    graph, policy = noting(blocking, frequency), Retention(keep_last=2)
    values, count = [], 0
    for number in range(4):
        # A saver that has just begun knows nothing of the parent, and one that goes on does.
        with LockstitchSaver(server.target, serde=blocking.serde) as fresh:
            for each in (blocking, fresh):
                noting(each, frequency).invoke({"notes": [f"input {number}"]}, config(thread_id))
        values = graph.get_state(config(thread_id)).values["notes"]
        assert len(values) == 4 * (number + 1)
    count = len(list(blocking.list(config(thread_id))))
    with lockstitch.Client(server.target) as client:
        client.prune_sessions([thread_id], retention=policy)
    assert graph.get_state(config(thread_id)).values["notes"] == values
    blocking.prune([thread_id])
    assert graph.get_state(config(thread_id)).values["notes"] == values
    assert (len(list(blocking.list(config(thread_id)))) < count) == (frequency != 1000)
    graph.invoke({"notes": ["next"]}, config(thread_id))
    assert graph.get_state(config(thread_id)).values["notes"][: len(values) + 1] == [*values, "next"]


def test_a_delta_channel_whose_ancestors_are_gone_is_an_error(
    server: LockstitchServer, blocking: LockstitchSaver, thread_id: str
) -> None:
    graph = noting(blocking, 1000)
    for run in ("first", "second"):
        graph.invoke({"notes": [run]}, {**config(thread_id), "metadata": {"run_id": run}})
    blocking.delete_for_runs(["first"])
    with LockstitchSaver(server.target, serde=blocking.serde) as saver, pytest.raises(lockstitch.DataLoss):
        noting(saver, 1000).get_state(config(thread_id))


async def test_lists_of_all_threads_and_namespaces(saver: LockstitchSaver, thread_id: str) -> None:
    thread: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    await crowd(saver).ainvoke({"log": []}, thread)
    everywhere = [item async for item in saver.alist(thread)]
    root = [item async for item in saver.alist(config(thread_id))]
    namespaces = {item.config["configurable"]["checkpoint_ns"] for item in everywhere}
    assert len(namespaces) == 4
    assert len(root) == 2
    assert {item.config["configurable"]["checkpoint_ns"] for item in root} == {""}
    middle = sorted(item.checkpoint["id"] for item in everywhere)[3]
    below = [item async for item in saver.alist(thread, before=config(thread_id, middle))]
    assert {item.checkpoint["id"] for item in below} == {
        item.checkpoint["id"] for item in everywhere if item.checkpoint["id"] < middle
    }
    one = [item async for item in saver.alist(config(thread_id, root[1].checkpoint["id"]))]
    assert [item.checkpoint["id"] for item in one] == [root[1].checkpoint["id"]]
    all_threads = [item async for item in saver.alist(None, filter={"source": "input"}, limit=3)]
    assert len(all_threads) == 3
    assert [item async for item in saver.alist(thread, limit=0)] == []
    parents = root[0].metadata["parents"]
    assert len([item async for item in saver.alist(config(thread_id), filter={"parents": parents})]) == 2
