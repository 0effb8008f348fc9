"""Sessions with a history worth looking at: a LangGraph thread with all that may happen, and a long one."""

import operator
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Annotated, Any, TypedDict

import grpc
import ormsgpack
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

import lockstitch
from lockstitch.adapters.langgraph import LockstitchSaver
from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    ErrorEvent,
    NodeKind,
    PendingWrite,
    TypedBlob,
    VersionedState,
)
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest
from lockstitch.v1.checkpoint_service_pb2_grpc import CheckpointServiceStub
from tests.support.paths import ROOT

WEAVEGRAPH = ROOT / "tests" / "fixtures" / "weavegraph" / "weavegraph.db"
STORY = "order-4711"
"""A LangGraph thread: two tool calls, a subgraph, a question that was answered, a fork in time, and a failure."""
HOSTILE = "hostile/../\u202etxt.<b>"
LONG = "long-run"
SCRIPT = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"


class Order(TypedDict, total=False):
    """What the graph knows."""

    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    order: dict[str, Any]
    total: float
    risk: float


class Check(TypedDict, total=False):
    """What the subgraph knows."""

    order: dict[str, Any]
    risk: float
    verdict: str


def tell_story(target: str, session_id: str = STORY) -> None:
    """Run the graph of STORY: it asks, is answered, fails; then somebody goes back and takes another way."""
    config: Any = {"configurable": {"thread_id": session_id}}
    with LockstitchSaver(target) as saver:
        graph = _graph().compile(checkpointer=saver)
        first = [SystemMessage("You take orders."), HumanMessage("Two blue lamps to 12 Harbour St, please.")]
        graph.invoke({"messages": first}, config)
        with suppress(ConnectionError):
            graph.invoke(Command(resume="yes, ship it"), config)
        history = list(graph.get_state_history(config))
        planned = next(state for state in history if state.next == ("tools",))
        forked = graph.update_state(planned.config, {"notes": ["the customer called: make it green"]}, as_node="plan")
        with suppress(ConnectionError):
            graph.invoke(None, forked)
        with suppress(ConnectionError):
            graph.invoke(Command(resume="yes"), config)


def _graph() -> Any:
    def plan(state: Order) -> Order:
        calls = [
            {"name": "find_product", "args": {"query": "blue lamp", "limit": 3}, "id": "call_1"},
            {"name": "price", "args": {"sku": "LMP-0042", "quantity": 2, "currency": "EUR"}, "id": "call_2"},
        ]
        return {"messages": [AIMessage("Let me look that up.", tool_calls=calls)], "notes": ["looked up"]}

    def tools(state: Order) -> Order:
        found = '{"hits": [{"sku": "LMP-0042", "name": "Lamp, blue", "stock": 17}]}'
        return {
            "messages": [
                ToolMessage(found, tool_call_id="call_1", name="find_product"),
                ToolMessage("118.00 EUR", tool_call_id="call_2", name="price"),
            ],
            "order": {"lines": [{"sku": "LMP-0042", "quantity": 2}], "address": {"street": "12 Harbour St"}},
            "total": 118.0,
        }

    def ask(state: Order) -> Order:
        answer = interrupt({"question": "Ship 2 lamps for 118.00 EUR to 12 Harbour St?", "order": state.get("order")})
        return {"messages": [HumanMessage(str(answer))], "notes": ["confirmed"]}

    def write_order(state: Order) -> Order:
        time.sleep(0.05)
        raise ConnectionError("HTTP 500 from https://orders.internal/write\nupstream connect error")

    builder: Any = StateGraph(Order)
    for name, node in (
        ("plan", plan),
        ("tools", tools),
        ("check", _subgraph()),
        ("ask", ask),
        ("write_order", write_order),
    ):
        builder.add_node(name, node)
    nodes = [START, "plan", "tools", "check", "ask", "write_order", END]
    for one, other in pairwise(nodes):
        builder.add_edge(one, other)
    return builder


def _subgraph() -> Any:
    builder: Any = StateGraph(Check)
    builder.add_node("score", lambda state: {"risk": 0.12})
    builder.add_node("decide", lambda state: {"verdict": "accepted"})
    for one, other in ((START, "score"), ("score", "decide"), ("decide", END)):
        builder.add_edge(one, other)
    return builder.compile(checkpointer=True)


def import_weavegraph(target: str) -> None:
    """Bring in the sessions of weavegraph's fixture."""
    command = [sys.executable, "-m", "lockstitch_server", "import", "weavegraph", str(WEAVEGRAPH), "--target", target]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def save_hostile(client: lockstitch.Client) -> None:
    """A session whose every text tries to be something else."""
    checkpoint = Checkpoint(
        session_id=HOSTILE,
        namespace="",
        step=1,
        frontier=[NodeKind(custom=SCRIPT)],
        ran_nodes=[NodeKind(custom=SCRIPT)],
        updated_channels=[SCRIPT],
        metadata={SCRIPT: '"' + SCRIPT.replace('"', '\\"') + '"'},
    )
    state = checkpoint.state
    state.messages.items.add(role="user", content=f"{SCRIPT}\u202edesrever\u2066\x00\x1b[31m")
    state.messages.items.add(role=SCRIPT, content="x" * 1_000_000)
    state.extra.entries[SCRIPT] = '{"</details>": "</script>", "\u202e": [1, "\u2028"]}'
    for name, blob in _blobs().items():
        state.custom[name].blob.CopyFrom(blob)
    error = ErrorEvent(tags=[SCRIPT], context='{"a": "</pre>"}')
    error.error.message = SCRIPT
    error.error.cause.message = f"caused by {SCRIPT}"
    error.scope.node.kind = SCRIPT
    error.scope.node.step = 1
    state.errors.items.append(error)
    write = PendingWrite(
        task_id=f"t{SCRIPT}", index=0, channel=SCRIPT, value=TypedBlob(type="text", data=SCRIPT.encode())
    )
    before = Checkpoint(session_id=HOSTILE, step=0, state=VersionedState())
    before.state.messages.items.add(role="user", content="hello")
    client.save(before)
    client.save(checkpoint, writes=[write])


def _blobs() -> dict[str, TypedBlob]:
    deep: Any = "bottom"
    for _ in range(150):
        deep = [deep]
    return {
        SCRIPT: TypedBlob(type=SCRIPT, data=SCRIPT.encode()),
        "one line": TypedBlob(type="text", data=b"<b>line</b> " * 85_000),
        "deep": TypedBlob(type="msgpack", data=ormsgpack.packb(deep)),
        "deeper": TypedBlob(type="msgpack", data=b"\x91" * 100_000 + b"\xc0"),
        "wide": TypedBlob(type="msgpack", data=b"\xdd" + (200_000).to_bytes(4, "big") + b"\x90" * 200_000),
        "lying": TypedBlob(type="msgpack", data=b"\xdd\xff\xff\xff\xff" * 100),
        "names a class": TypedBlob(type="msgpack", data=_class_bomb()),
        "not json": TypedBlob(type="json", data=b'{"a": '),
        "bytes": TypedBlob(type="pickle", data=bytes(range(256)) * 4),
    }


def _class_bomb() -> bytes:
    """What LangGraph's own reader would make by calling os.system."""
    return ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(["os", "system", "touch /tmp/pwned"])))


def save_long(target: str, steps: int, total_bytes: int, session_id: str = LONG) -> None:
    """Save a session of a list that grows to `total_bytes`, step by step: each save sends what is new."""
    with grpc.insecure_channel(target) as channel:
        stub = CheckpointServiceStub(channel)
        saves = _long_saves(steps, total_bytes // steps, session_id)
        requests = (SaveStreamRequest(request_id=number, save=save) for number, save in enumerate(saves))
        saved = [response for response in stub.SaveStream(requests, timeout=600) if response.HasField("saved")]
    assert len(saved) == steps


def _long_saves(steps: int, size: int, session_id: str) -> Iterator[SaveRequest]:
    begun = int(time.time()) - steps
    nodes = ("fetch", "parse", "embed", "store")
    for step in range(steps):
        checkpoint = Checkpoint(session_id=session_id, step=step)
        checkpoint.created_at.seconds = begun + step
        if step:
            checkpoint.ran_nodes.add(custom=nodes[step % 4])
        checkpoint.frontier.add(custom=nodes[(step + 1) % 4])
        text = f"step {step}: ".encode()
        item = TypedBlob(type="text", data=text + b"x" * (size - len(text)))
        if not step:
            checkpoint.state.extra.entries["counter"] = "0"
            checkpoint.state.custom["log"].list.items.append(item)
            yield SaveRequest(checkpoint=checkpoint)
            continue
        request = SaveRequest(checkpoint=checkpoint, base_checkpoint_id=f"{step - 1:020}")
        request.delta.extra.set["counter"] = str(step)
        change = request.delta.custom["log"]
        change.version = str(step)
        change.append.items.append(item)
        yield request
