"""Where a run stands, on real threads of LangGraph and real sessions of weavegraph."""

import json
import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

import lockstitch
from lockstitch import ListedCheckpoint, View
from lockstitch.adapters.langgraph import LockstitchSaver
from lockstitch.inspect import STATUS_CHANNELS, Progress, Status, StatusKind, chat, progress, ran_needs_parent, status
from lockstitch.plain import PLAIN_STATE
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from tests.support.server import LockstitchServer

Thread = dict[str, Any]


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        yield server.target


@pytest.fixture
def saver(target: str) -> Iterator[LockstitchSaver]:
    with LockstitchSaver(target) as made:
        yield made


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


Channels = tuple[str, ...]
LOADS: list[tuple[View, Channels]] = [(View.FULL, ()), (View.HEADER, ()), (View.FULL, STATUS_CHANNELS)]


def listed(target: str, name: str, view: View = View.FULL, channels: Channels = ()) -> list[ListedCheckpoint]:
    with lockstitch.Client(target) as client:
        return list(client.list_checkpoints(name, namespace="", include_writes=True, view=view, channels=channels))


def steps(target: str, name: str, view: View, channels: Channels) -> list[Progress]:
    """The progress of each checkpoint, newest first."""
    found = listed(target, name, view, channels)
    by_id = {each.checkpoint.checkpoint_id: each.checkpoint for each in found}
    assert all(ran_needs_parent(each) == bool(each.parent_id) for each in by_id.values())
    return [
        progress(each.checkpoint, each.pending_writes, by_id.get(each.checkpoint.parent_id), channels=channels)
        for each in found
    ]


def support(saver: LockstitchSaver) -> Any:
    """Looks something up, asks a person, and fails then."""

    def agent(state: MessagesState) -> Thread:
        return {
            "messages": [AIMessage("Let me look.", tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "c1"}])]
        }

    def tool(state: MessagesState) -> Thread:
        return {"messages": [ToolMessage("found", tool_call_id="c1", name="search")]}

    def ask(state: MessagesState) -> Thread:
        return {"messages": [("ai", str(interrupt({"question": "Send it?\nNow?"})))]}

    def send(state: MessagesState) -> Thread:
        raise ValueError("HTTP 500\nfrom upstream")

    builder: Any = StateGraph(MessagesState)
    nodes = {"agent": agent, "tool": tool, "ask": ask, "send": send}
    for name, node in nodes.items():
        builder.add_node(name, node)
    for one, other in ((START, "agent"), ("agent", "tool"), ("tool", "ask"), ("ask", "send"), ("send", END)):
        builder.add_edge(one, other)
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize(("view", "channels"), LOADS)
def test_a_langgraph_thread(target: str, saver: LockstitchSaver, view: View, channels: Channels) -> None:
    name = f"support {view.name} {len(channels)}"
    graph = support(saver)
    graph.invoke({"messages": ["hi"]}, thread(name))
    waiting = steps(target, name, view, channels)
    assert [(found.ran_nodes, found.next_nodes) for found in waiting] == [
        (["tool"], ["ask"]),
        (["agent"], ["tool"]),
        ([], ["agent"]),
        ([], ["Start"]),
    ]
    (question,) = waiting[0].interrupts
    assert (question.question, question.node) == ("Send it?", "ask")
    assert question.id
    assert status(None, waiting[0], 0) == Status(StatusKind.WAITING, "Send it?")
    assert [found.done_nodes for found in waiting] == [[], ["tool"], ["agent"], ["Start"]]
    with pytest.raises(ValueError, match="HTTP 500"):
        graph.invoke(Command(resume="yes"), thread(name))
    failed, answered, *_ = steps(target, name, view, channels)
    assert answered.interrupts == []
    assert (failed.ran_nodes, failed.next_nodes, failed.done_nodes) == (["ask"], ["send"], [])
    (problem,) = failed.problems
    assert problem.node == "send"
    assert status(None, failed, 0).kind is StatusKind.FAILED
    assert "HTTP 500" in status(None, failed, 0).detail


def test_a_node_that_fails_after_its_answer_waits_for_nobody(target: str, saver: LockstitchSaver) -> None:
    def ask(state: MessagesState) -> Thread:
        interrupt("Send it?")
        raise ValueError("HTTP 500")

    builder: Any = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"messages": ["hi"]}, thread("answered"))
    with pytest.raises(ValueError, match="HTTP 500"):
        graph.invoke(Command(resume="yes"), thread("answered"))
    found = status(None, steps(target, "answered", View.FULL, ())[0], 0)
    assert (found.kind, "HTTP 500" in found.detail) == (StatusKind.FAILED, True)


@pytest.mark.parametrize(("view", "channels"), LOADS)
def test_the_next_nodes_are_those_that_langgraph_says(
    target: str, saver: LockstitchSaver, view: View, channels: Channels
) -> None:
    """Of every checkpoint of a graph that branches, joins and sends."""

    class State(TypedDict, total=False):
        log: Annotated[list[str], operator.add]

    def note(name: str) -> Callable[[State], Thread]:
        return lambda state: {"log": [name]}

    builder: Any = StateGraph(State)
    for node in ("one", "two", "meet", "work", "last"):
        builder.add_node(node, note(node))
    builder.add_edge(START, "one")
    builder.add_edge(START, "two")
    builder.add_edge(["one", "two"], "meet")
    builder.add_conditional_edges(
        "meet", lambda state: [Send("work", {"log": []}), Send("work", {"log": []})], ["work"]
    )
    builder.add_edge("work", "last")
    builder.add_edge("last", END)
    name = f"branches {view.name} {len(channels)}"
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"log": []}, thread(name))
    states = list(graph.get_state_history(thread(name)))
    found = steps(target, name, view, channels)
    assert len(found) == len(states) == 6
    for ours, theirs in zip(found, states, strict=True):
        expected = {"Start" if node == "__start__" else node for node in theirs.next}
        if view is View.HEADER and "work" in expected:
            assert ours.next_nodes == ["?"]  # whom a task was sent to stands in the state
        else:
            assert set(ours.next_nodes) == expected
    assert found[0].is_finished
    assert [each.is_finished for each in found[1:]] == [False] * 5
    assert status(None, found[0], 0) == Status(StatusKind.FINISHED)


def test_chat(target: str, saver: LockstitchSaver) -> None:
    support(saver).invoke({"messages": ["hi"]}, thread("chat"))
    messages = chat(listed(target, "chat")[0].checkpoint.state)
    assert [(found.role, found.content) for found in messages] == [
        ("user", "hi"),
        ("assistant", "Let me look."),
        ("tool", "found"),
    ]
    (call,) = messages[1].tool_calls
    assert (call.name, call.arguments, call.id) == ("search", {"q": "x"}, "c1")
    assert call.result is messages[2]


def session(**fields: Any) -> Checkpoint:
    return Checkpoint(session_id="s", step=3, **fields)


def test_weavegraph() -> None:
    found = progress(
        session(
            frontier=[{"custom": "writer"}, {"endpoint": "ENDPOINT_END"}],
            ran_nodes=[{"custom": "planner"}, {"endpoint": "ENDPOINT_START"}],
        )
    )
    assert (found.ran_nodes, found.next_nodes, found.is_finished) == (["planner", "Start"], ["writer", "End"], False)
    assert status(None, found, 0) == Status(StatusKind.IDLE)
    assert progress(session(frontier=[{"endpoint": "ENDPOINT_END"}])).is_finished


def test_only_a_graph_is_finished() -> None:
    """What Lockstitch's libraries save for programs without a graph does not say what runs next: it is idle."""
    adapters = ("lockstitch.google-adk", "lockstitch.agent-framework", "lockstitch.claude-agent-sdk")
    for kind in (PLAIN_STATE.type, *adapters):
        found = progress(Checkpoint(header=TypedBlob(type=kind)))
        assert (found.is_graph, found.is_finished) == (False, False), kind
        assert status(None, found, 0) == Status(StatusKind.IDLE)
    for kind in ("", "json", "lockstitch.weavegraph"):
        assert status(None, progress(Checkpoint(header=TypedBlob(type=kind))), 0) == Status(StatusKind.FINISHED), kind


@pytest.mark.parametrize(
    ("scope", "failed"),
    [
        ({"node": {"kind": "Custom:writer", "step": 3}}, True),
        ({"node": {"kind": "Custom:writer", "step": 2}}, False),
        ({"scheduler": {"step": 3}}, True),
        ({"runner": {"session": "s", "step": 1}}, False),
        ({"app": {}}, True),
    ],
)
def test_the_last_error_counts_in_its_own_step(scope: Any, failed: bool) -> None:
    errors = {"items": [{"error": {"message": "old"}}, {"error": {"message": "down\nfor good"}, "scope": scope}]}
    found = progress(session(state={"errors": errors}, frontier=[{"custom": "writer"}]))
    expected = Status(StatusKind.FAILED, "down") if failed else Status(StatusKind.IDLE)
    assert status(None, found, 0) == expected
    if failed and "node" in scope:
        assert found.problems[0].node == "writer"


def test_a_live_lease_comes_first() -> None:
    found = progress(session(state={"errors": {"items": [{"error": {"message": "x"}}]}}))
    held = SessionSummary(lease_holder="pod-7")
    assert status(held, found, 0) == Status(StatusKind.RUNNING, "pod-7")
    until = session(created_at={"seconds": 100}).created_at
    assert status(held, found, 90.0, until).seconds_left == 10.0
    assert status(held, None, 110.0, until).seconds_left == 0.0
    assert status(SessionSummary(), None, 0) == Status(StatusKind.IDLE)
    assert str(Status(StatusKind.RUNNING, "pod-7")) == "running: pod-7"


def test_nodes_that_are_called_as_the_ends_are() -> None:
    """A node of the user's that is called End is not the end."""
    found = progress(session(frontier=[{"custom": "End"}], ran_nodes=[{"custom": "Start"}, {"custom": "Custom:x"}]))
    assert (found.next_nodes, found.is_finished) == (["Custom:End"], False)
    assert found.ran_nodes == ["Custom:Start", "Custom:Custom:x"]


@given(
    st.recursive(
        st.none() | st.integers(0, 3) | st.sampled_from(["branch:to:a", "join:a+b:c", "__pregel_tasks", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["updated_channels", "versions_seen", "checkpoint", "a"]), inner)
        ),
    )
)
def test_a_header_of_any_content(inner: Any) -> None:
    """Whatever stands there, nothing fails."""
    made = session(parent_id="p")
    made.header.type = "json"
    made.header.data = json.dumps({"checkpoint": {"versions_seen": {}, "updated_channels": inner}}).encode()
    made.state.custom["__pregel_tasks"].blob.type = "json"
    made.state.custom["__pregel_tasks"].blob.data = json.dumps(inner).encode()
    other = session()
    other.header.type = "json"
    other.header.data = json.dumps({"checkpoint": {"versions_seen": {"a": inner}, "updated_channels": []}}).encode()
    for one, parent in ((made, other), (other, made), (made, None)):
        progress(one, (), parent)
        progress(one, (), parent, channels=STATUS_CHANNELS)


def test_a_question_that_is_made_to_be_expensive_is_not_read() -> None:
    many = ormsgpack.packb([[]] * 1_000_000)
    found = progress(Checkpoint(), [interrupt_write(many), error_write(many)])
    assert [len(found.interrupts), len(found.problems)] == [0, 1]
    assert "up to" in found.problems[0].message
    asking = progress(Checkpoint(), [interrupt_write(many)])
    assert len(asking.interrupts) == 1
    assert asking.interrupts[0].question == ""
    small = ormsgpack.packb(list(range(10_000)))
    assert len(progress(Checkpoint(), [interrupt_write(small)]).interrupts) == 100


def interrupt_write(data: bytes) -> PendingWrite:
    return PendingWrite(task_id="t", index=-3, channel="__interrupt__", value=TypedBlob(type="msgpack", data=data))


def error_write(data: bytes) -> PendingWrite:
    return PendingWrite(task_id="t", index=-1, channel="__error__", value=TypedBlob(type="msgpack", data=data))
