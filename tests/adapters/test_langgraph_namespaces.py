"""Subgraphs of any depth are saved: namespaces that the server does not take come back as they were."""

from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

import lockstitch
from lockstitch.adapters.langgraph import LeasePolicy, LockstitchSaver
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.adapters.graphs import State
from tests.support.server import LockstitchServer

DEPTH = 12
NAME = "research_team_supervisor_"


def nested(saver: BaseCheckpointSaver[Any]) -> Any:
    """Asks in a subgraph of a subgraph of a subgraph..."""
    builder = StateGraph(State)
    builder.add_node("leaf", lambda state: {"log": [interrupt("go on?")]})
    builder.add_edge(START, "leaf")
    for level in range(DEPTH):
        inner, builder = builder.compile(), StateGraph(State)
        builder.add_node(f"{NAME}{level}", inner)
        builder.add_edge(START, f"{NAME}{level}")
    return builder.compile(checkpointer=saver)


def shape(saver: BaseCheckpointSaver[Any], thread_id: str) -> list[tuple[str, list[str], Any]]:
    """All checkpoints of a thread: the names in their namespaces, the parents' ones, and what they are about."""
    found = []
    for item in saver.list({"configurable": {"thread_id": thread_id}}):
        namespace = item.config["configurable"]["checkpoint_ns"]
        names = "|".join(part.split(":")[0] for part in namespace.split("|"))
        parents = sorted(len(parent.split("|")) for parent in item.metadata.get("parents", {}))
        found.append((names, [str(count) for count in parents], item.metadata["source"]))
        same = saver.get_tuple(item.config)
        assert same is not None
        assert same.config == item.config
        assert same.parent_config == item.parent_config
        assert item.config in [each.config for each in saver.list({"configurable": {**item.config["configurable"]}})]
    return sorted(found)


@pytest.mark.parametrize("leased", [False, True])
def test_deep_subgraphs_are_saved_and_listed(server: LockstitchServer, thread_id: str, leased: bool) -> None:
    memory = InMemorySaver()
    with LockstitchSaver(server.target, lease=LeasePolicy() if leased else False) as saver:
        for each in (memory, saver):
            nested(each).invoke({"log": []}, config(thread_id))
        assert shape(saver, thread_id) == shape(memory, thread_id)
        assert max(len(names) for names, *_ in shape(saver, thread_id)) > 300
        state = nested(saver).get_state(config(thread_id), subgraphs=True)
        for _ in range(DEPTH):
            state = state.tasks[0].state
        assert state.tasks[0].interrupts[0].value == "go on?"
        assert len(state.config["configurable"]["checkpoint_ns"]) > 512
        assert nested(saver).invoke(Command(resume="yes"), config(thread_id))["log"] == ["yes"]


NAMESPACES = ["x" * 512, "x" * 513, "ö" * 300, "a|b\nc", f"sha256:{'0' * 64}", "\u00a0 and \u2028"]


@pytest.mark.parametrize("namespace", NAMESPACES, ids=["512 B", "513 B", "600 B", "control", "hash", "spaces"])
async def test_a_namespace_comes_back_as_it_was(saver: LockstitchSaver, thread_id: str, namespace: str) -> None:
    first = await saver.aput(config(thread_id, namespace=namespace), checkpoint({"a": 1}), metadata(), {"a": 1})
    put = await saver.aput(first, checkpoint({"a": 2}, {"a": 2}), metadata(1), {"a": 2})
    await saver.aput_writes(put, [("b", 1)], "task")
    assert put["configurable"]["checkpoint_ns"] == namespace
    for where in (put, config(thread_id, namespace=namespace)):
        found = await saver.aget_tuple(where)
        assert found is not None
        assert (found.config, found.parent_config) == (put, first)
        assert found.checkpoint["channel_values"] == {"a": 2}
        assert found.pending_writes == [("task", "b", 1)]
    for whose in (config(thread_id, namespace=namespace), {"configurable": {"thread_id": thread_id}}):
        assert [item.config async for item in saver.alist(whose)] == [put, first]  # type: ignore[arg-type]
    assert [item async for item in saver.alist(config(thread_id))] == []


async def test_namespaces_that_the_server_takes_are_stored_as_they_are(
    server: LockstitchServer, saver: LockstitchSaver, thread_id: str
) -> None:
    """So threads that were saved before are found."""
    async with lockstitch.AsyncClient(server.target) as client:
        for namespace in ("", "child:1", f"{NAME}|{uuid4()}", "x" * 512, "\u00a0\u2028"):
            await saver.aput(config(thread_id, namespace=namespace), checkpoint({}), metadata(), {})
            assert (await client.load_latest(thread_id, namespace)).checkpoint is not None
