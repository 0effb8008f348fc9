"""Sessions for the explorer to show."""

import json
import operator
import time
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import ormsgpack
from google.protobuf.timestamp_pb2 import Timestamp
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import END as GRAPH_END
from langgraph.graph import START as GRAPH_START
from langgraph.graph import StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

import lockstitch
from lockstitch.adapters.langgraph import LockstitchSaver
from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    ErrorEvent,
    ErrorsChannel,
    ErrorScope,
    ExtrasChannel,
    MessagesChannel,
    PendingWrite,
    TypedBlob,
    VersionedState,
    WeaveError,
)

HOSTILE_SCRIPT = "<script>document.title='pwned'</script>"
HTTP_500 = "HTTP 500 from https://orders.internal/write\nafter 3 attempts"
HOSTILE_NAMES = (
    HOSTILE_SCRIPT,
    '"><img src=x onerror="document.title=\'pwned\'">',
    "../../etc/passwd",
    "..",
    ".",
    "~tilde",
    "a/b?c=d&e#f%2F",
    "\u202egnp.exe",
    "مرحبا \u2067عالم\u2069",  # noqa: RUF001 - right to left, on purpose
    "zero\u200bwidth",
    "javascript:document.title='pwned'",
    "{{ 7 * 7 }}",
)


class ChatState(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    approved: bool


def fill_statuses(client: lockstitch.Client) -> None:
    """A session of every status, as a runner of weavegraph's fields leaves them: running-, waiting-, ... ."""
    client.save(step("finished-1", 2, frontier=["END"], ran=["summarise"]))
    client.save(step("idle-1", 1, frontier=["write_order"], ran=["plan"]))
    client.save(step("running-1", 5, frontier=["search"], ran=["plan"]))
    client.acquire_lease("running-1", "pod-7", ttl=600)
    failed = step("failed-1", 3, frontier=["write_order"], ran=["plan"])
    failed.state.errors.CopyFrom(ErrorsChannel(version=1, items=[_error("write_order", 3)]))
    client.save(failed)
    question = PendingWrite(
        task_id="t1",
        task_path="~__pregel_pull, approve",
        index=-3,
        channel="__interrupt__",
        value=TypedBlob(type="json", data=json.dumps([{"question": "Refund 250 EUR to order 42?"}]).encode()),
    )
    client.save(step("waiting-1", 4, frontier=["approve"], ran=["check"]), writes=[question])
    client.update_session("waiting-1", set_labels={"env": "prod", "team": "billing"})
    client.update_session("failed-1", set_labels={"env": "prod"})


def fill_langgraph(target: str, **options: Any) -> None:
    """Threads of a real graph with a subgraph and a tool call: thread-done, thread-waits (a question), thread-failed.

    options: of `LockstitchSaver`, such as `key`.
    """
    with LockstitchSaver(target, **options) as saver:
        graph = _graph().compile(checkpointer=saver)
        for thread in ("thread-done", "thread-waits", "thread-failed"):
            graph.invoke({"messages": [HumanMessage("Where is my order 42?")], "notes": ["begun"]}, _config(thread))
        graph.invoke(Command(resume=True), _config("thread-done"))
        with suppress(ValueError):
            graph.invoke(Command(resume="explode"), _config("thread-failed"))


def fill_hostile(client: lockstitch.Client) -> None:
    """Text that wants to be more than text."""
    for name in HOSTILE_NAMES:
        checkpoint = step(name, 1, frontier=[HOSTILE_SCRIPT], ran=[HOSTILE_SCRIPT])
        checkpoint.state.errors.CopyFrom(
            ErrorsChannel(version=1, items=[_error(HOSTILE_SCRIPT, 1, f"{HOSTILE_SCRIPT}\x00\x1b[31m\u202e")])
        )
        checkpoint.state.messages.items.add(role=HOSTILE_SCRIPT, content=f"{HOSTILE_SCRIPT}\x07\u202etxet")
        checkpoint.state.custom[HOSTILE_SCRIPT].blob.CopyFrom(TypedBlob(type="text/html", data=HOSTILE_SCRIPT.encode()))
        client.save(checkpoint)
        client.update_session(name, set_labels={HOSTILE_SCRIPT: '"><script>'})
    bombs = step("bombs", 1, frontier=["a"], ran=["b"])
    for name, data in _bombs().items():
        bombs.state.custom[name].blob.CopyFrom(TypedBlob(type="msgpack", data=data))
    bombs.state.messages.items.add(role="user", content="x" * 1024 * 1024)
    values = [TypedBlob(type="msgpack", data=data) for data in _bombs().values()]
    writes = [
        PendingWrite(task_id=f"t{number}", index=-3, channel="__interrupt__", value=value)
        for number, value in enumerate(values)
    ]
    client.save(bombs, writes=writes)


def _bombs() -> dict[str, bytes]:
    """MessagePack that claims to be large, is nested deep, or names a class."""
    return {
        "claims 4 billion items": b"\xdd\xff\xff\xff\xff",
        "claims 4 GB": b"\xc6\xff\xff\xff\xff",
        "a million empty lists": b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000,
        "nested lists": b"\x91" * 100_000 + b"\x90",
        "names a class": ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(["os", "system", "touch /tmp/pwned"]))),
    }


def step(session_id: str, step: int, *, frontier: list[str], ran: list[str]) -> Checkpoint:
    return Checkpoint(
        session_id=session_id,
        step=step,
        frontier=[lockstitch.END if name == "END" else lockstitch.node(name) for name in frontier],
        ran_nodes=[lockstitch.node(name) for name in ran],
        state=VersionedState(
            messages=MessagesChannel(version=1, items=[lockstitch.message("user", "Where is my order?")]),
            extra=ExtrasChannel(version=1, entries={"order": '{"id": 42}'}),
        ),
        updated_channels=["messages"],
    )


def _error(node: str, step: int, message: str = HTTP_500) -> ErrorEvent:
    return ErrorEvent(
        when=Timestamp(seconds=int(time.time())),
        scope=ErrorScope(node=ErrorScope.Node(kind=f"Custom:{node}", step=step)),
        error=WeaveError(message=message, cause=WeaveError(message="connection reset by peer")),
        tags=["orders"],
    )


def _graph() -> Any:
    inner: Any = StateGraph(ChatState)
    inner.add_node("search", lambda _: {"notes": ["found order 42"]})
    inner.add_node("rank", lambda _: {"notes": ["ranked"]})
    inner.add_edge(GRAPH_START, "search")
    inner.add_edge("search", "rank")
    inner.add_edge("rank", GRAPH_END)
    outer: Any = StateGraph(ChatState)
    outer.add_node("plan", _plan)
    outer.add_node("research", inner.compile())
    outer.add_node("approve", _approve)
    outer.add_node("write_order", _write_order)
    outer.add_edge(GRAPH_START, "plan")
    outer.add_edge("plan", "research")
    outer.add_edge("research", "approve")
    outer.add_edge("approve", "write_order")
    outer.add_edge("write_order", GRAPH_END)
    return outer


def _plan(_: ChatState) -> ChatState:
    call = {"name": "find_order", "args": {"id": 42}, "id": "call-1", "type": "tool_call"}
    return {
        "messages": [
            AIMessage("I look the order up.", tool_calls=[call]),
            ToolMessage('{"status": "lost"}', tool_call_id="call-1", name="find_order"),
        ]
    }


def _approve(_: ChatState) -> ChatState:
    answer = interrupt({"question": "Refund 250 EUR to order 42?"})
    if answer == "explode":
        raise ValueError("HTTP 500 from https://orders.internal/write")
    return {"approved": bool(answer)}


def _write_order(_: ChatState) -> ChatState:
    return {"messages": [AIMessage("Done: 250 EUR are on their way.")]}


def _config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}
