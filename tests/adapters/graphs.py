"""Graphs for tests, and what their threads look like from outside."""

import operator
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

Graph = Any
"""A compiled graph, whose type has many parameters."""


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]
    approved: bool


def approval(saver: BaseCheckpointSaver[Any]) -> Graph:
    """Plans, asks a person, and acts on the answer."""

    def plan(state: State) -> State:
        number = len(state["messages"])
        return {"messages": [AIMessage(f"plan {number}", id=f"p{number}")], "log": ["plan"]}

    def ask(state: State) -> State:
        return {"approved": interrupt({"question": "go on?", "plan": state["messages"][-1].content}), "log": ["asked"]}

    def act(state: State) -> State:
        return {"log": ["acted" if state["approved"] else "left it"]}

    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("ask", ask)
    builder.add_node("act", act)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "ask")
    builder.add_edge("ask", "act")
    return builder.compile(checkpointer=saver)


def crowd(saver: BaseCheckpointSaver[Any]) -> Graph:
    """Fans out to tasks, of which each has a subgraph with an interrupt, and gathers what they say."""

    def child_asks(state: Any) -> Any:
        return {"log": [f"{state['name']}: {interrupt(state['name'])}"]}

    class Child(TypedDict, total=False):
        name: str
        log: Annotated[list[str], operator.add]

    child = StateGraph(Child)
    child.add_node("first", lambda state: {"log": [f"first {state['name']}"]})
    child.add_node("asks", child_asks)
    child.add_edge(START, "first")
    child.add_edge("first", "asks")

    builder = StateGraph(State)
    builder.add_node("child", child.compile())
    builder.add_node("gather", lambda state: {"log": [f"{len(state['log'])} heard"]})
    builder.add_conditional_edges(START, lambda _: [Send("child", {"name": name}) for name in "abc"], ["child"])
    builder.add_edge("child", "gather")
    builder.add_edge("gather", END)
    return builder.compile(checkpointer=saver)


def said(text: str) -> State:
    return {"messages": [HumanMessage(text, id=text)]}


def answers(graph: Graph, config: RunnableConfig) -> Command[Any]:
    """An answer to every question that a thread has."""
    state = graph.get_state(config)
    return Command(resume={each.id: f"yes, {each.value}" for each in state.interrupts})


def history(graph: Graph, config: RunnableConfig) -> list[dict[str, Any]]:
    """Everything about a thread's checkpoints but their ids and times, newest first."""
    states = list(graph.get_state_history(config))
    numbers = {state.config["configurable"]["checkpoint_id"]: number for number, state in enumerate(states)}
    return [
        {
            "values": state.values,
            "next": state.next,
            "metadata": dict(state.metadata),
            "parent": numbers.get((state.parent_config or {"configurable": {}})["configurable"].get("checkpoint_id")),
            "tasks": [
                (task.name, task.path, [each.value for each in task.interrupts], task.result) for task in state.tasks
            ],
        }
        for state in states
    ]


def noting(saver: BaseCheckpointSaver[Any], frequency: int) -> Graph:
    """A graph whose notes are a DeltaChannel."""
    import pytest  # this module is also used where there is none

    delta = pytest.importorskip("langgraph.channels.delta").DeltaChannel

    def extend(old: list[str], writes: list[list[str]]) -> list[str]:
        return [*(old or []), *(item for write in writes for item in write)]

    class Notes(TypedDict, total=False):
        notes: Annotated[list, delta(extend, snapshot_frequency=frequency)]  # type: ignore[type-arg]
        turn: int

    builder = StateGraph(Notes)
    builder.add_node("quiet", lambda state: {"turn": state.get("turn", 0) + 1})
    builder.add_node("note", lambda state: {"notes": [f"note {state['turn']}"]})
    builder.add_edge(START, "quiet")
    builder.add_edge("quiet", "note")
    return builder.compile(checkpointer=saver)
