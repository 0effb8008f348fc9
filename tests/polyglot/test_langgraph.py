"""Threads that Python and LangGraph.js write in turns, with serde="json": each goes on where the other has stopped."""

import json
import operator
import subprocess
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from lockstitch import Client
from lockstitch.adapters.langgraph import LockstitchSaver
from tests.polyglot.conftest import BY_NAME
from tests.polyglot.languages import Executables
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

DRIVER = "client/typescript/build/test/langgraph/driver.js"
DATA = {"deep": {"er": [1, -2.5, None, True, "ü🧵 "]}, "large": 2**53 + 1, "float": 2.0, "empty": [[], {}]}

Ask = Callable[..., Any]


class Values(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    size: float
    data: Any


def plan(state: Values) -> Values:
    number = len(state["messages"])
    call = {"name": "look", "args": {"deep": [1, None, {"é": True}]}, "id": "call-1", "type": "tool_call"}
    message = AIMessage("planned by py", id=f"ai-{number}", tool_calls=[call])
    return {"messages": [message], "notes": ["plan by py"], "size": number + 0.5}


def work(state: Any) -> Values:
    return {"notes": [f"work {state['part']} by py"]}


def ask(state: Values) -> Values:
    return {"notes": [f"py heard {interrupt('go on?')}"]}


class PythonGraph:
    """The graph of driver.ts, with the same nodes."""

    def __init__(self, target: str) -> None:
        self._saver = LockstitchSaver(target, serde="json")
        builder = StateGraph(Values)
        builder.add_node("plan", plan)
        builder.add_node("work", work)
        builder.add_node("ask", ask)
        builder.add_edge(START, "plan")
        builder.add_conditional_edges("plan", lambda _: [Send("work", {"part": part}) for part in (1, 2)], ["work"])
        builder.add_edge("work", "ask")
        self._graph: Any = builder.compile(checkpointer=self._saver)

    def ask(self, op: str, **args: Any) -> Any:
        config: RunnableConfig = {"configurable": {"thread_id": args["thread_id"]}}
        if "checkpoint_id" in args:
            config["configurable"]["checkpoint_id"] = args["checkpoint_id"]
        if op == "history":
            found = self._graph.get_state_history(config)
            return [snapshot.config["configurable"]["checkpoint_id"] for snapshot in found]
        if op == "invoke":
            given: Any = None
            if "text" in args:
                given = {"messages": [HumanMessage(args["text"], id="human")], "data": args["data"]}
            if "resume" in args:
                given = Command(resume=args["resume"])
            until = {"interrupt_before": [args["until"]]} if "until" in args else {}
            self._graph.invoke(given, config, **until)
        return self._view(self._graph.get_state(config))

    def close(self) -> None:
        self._saver.close()

    @staticmethod
    def _view(state: Any) -> Any:
        messages = [
            {"type": each.type, "id": each.id, "content": each.content, "tool_calls": getattr(each, "tool_calls", [])}
            for each in state.values.get("messages", [])
        ]
        return {
            **state.values,
            "messages": messages,
            "next": list(state.next),
            "interrupts": [found.value for task in state.tasks for found in task.interrupts],
            "checkpoint_id": state.config["configurable"].get("checkpoint_id"),
        }


class JsGraph:
    """driver.ts, in a process of its own."""

    def __init__(self, target: str) -> None:
        command = ["node", DRIVER, target]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, encoding="utf-8")

    def ask(self, op: str, **args: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"op": op, **args}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the driver has ended; its stderr says why"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()


@pytest.fixture(scope="module")
def languages(executables: Executables, server: LockstitchServer) -> Iterator[dict[str, Ask]]:
    executables.command(BY_NAME["typescript"])
    graphs: dict[str, PythonGraph | JsGraph] = {
        "py": PythonGraph(server.target),
        "js": JsGraph(server.target),
    }
    try:
        yield {name: graph.ask for name, graph in graphs.items()}
    finally:
        for graph in graphs.values():
            graph.close()


@pytest.mark.parametrize(("one", "other"), [("py", "js"), ("js", "py")])
def test_each_goes_on_where_the_other_has_stopped(
    one: str, other: str, languages: dict[str, Ask], session_id: str
) -> None:
    a, b = languages[one], languages[other]
    begun = a("invoke", thread_id=session_id, text="hi 🧵", data=DATA, until="work")
    assert begun["next"] == ["work", "work"]

    asked = b("invoke", thread_id=session_id)
    works = [f"work {part} by {other}" for part in (1, 2)]
    assert (asked["next"], asked["interrupts"]) == (["ask"], ["go on?"])
    assert asked["notes"] == [f"plan by {one}", *works]
    assert asked["messages"] == begun["messages"]
    assert [(each["type"], each["content"]) for each in asked["messages"]] == [
        ("human", "hi 🧵"),
        ("ai", f"planned by {one}"),
    ]
    assert asked["messages"][1]["tool_calls"][0]["args"] == {"deep": [1, None, {"é": True}]}
    assert asked["size"] == 1.5

    # Each language has ids of its own for tasks, and shows the interrupts of the tasks that it knows.
    assert a("state", thread_id=session_id) == {**asked, "interrupts": []}

    done = a("invoke", thread_id=session_id, resume="yes")
    assert (done["next"], done["interrupts"]) == ([], [])
    assert done["notes"] == [*asked["notes"], f"{one} heard yes"]
    assert b("state", thread_id=session_id) == done
    assert a("history", thread_id=session_id) == b("history", thread_id=session_id)

    fork = b("invoke", thread_id=session_id, checkpoint_id=asked["checkpoint_id"], resume="no")
    latest = a("state", thread_id=session_id)
    assert latest["notes"] == [*asked["notes"], f"{other} heard no"]
    assert latest["checkpoint_id"] > done["checkpoint_id"]
    assert fork["messages"] == done["messages"]
    assert a("state", thread_id=session_id, checkpoint_id=done["checkpoint_id"])["notes"] == done["notes"]


def test_what_the_other_has_only_passed_on_is_unchanged(
    languages: dict[str, Ask], session_id: str, server: LockstitchServer
) -> None:
    languages["py"]("invoke", thread_id=session_id, text="hi", data=DATA, until="work")
    with Client(server.target) as client:
        before = client.load_latest(session_id).checkpoint
        languages["js"]("invoke", thread_id=session_id)
        after = client.load_latest(session_id).checkpoint
    assert before is not None
    assert after is not None
    assert after.parent_id == before.checkpoint_id
    for name in ("messages", "data", "size"):
        assert after.state.custom[name] == before.state.custom[name]
    assert [blob.type for blob in before.state.custom["__pregel_tasks"].list.items] == ["json", "json"]
    assert b'"large":9007199254740993' in after.state.custom["data"].blob.data
    assert b'"float":2.0' in after.state.custom["data"].blob.data
