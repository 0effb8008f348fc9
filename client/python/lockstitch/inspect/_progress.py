"""Where a run stands: what ran, what is next, what went wrong, and what it waits for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstitch.inspect._instance import Instance
from lockstitch.inspect._values import Plain, decode, items
from lockstitch.v1.checkpoint_pb2 import ENDPOINT_END, ENDPOINT_START, Checkpoint, NodeKind, PendingWrite

START, END = "Start", "End"
_OWN, _GRAPHS = "lockstitch.", frozenset({"lockstitch.weavegraph"})
"""How the types of headers begin that Lockstitch's own libraries write, and those of them that belong to graphs."""
_CUSTOM = "Custom:"
"""Before a name of a node of the user's that could be taken for something else."""

# What LangGraph calls its channels and nodes.
_BRANCH = "branch:to:"
_JOIN = "join:"
_TASKS = "__pregel_tasks"
_INPUT = "__start__"
_INTERRUPT, _ERROR = "__interrupt__", "__error__"
_PULL = "~__pregel_pull, "
_ENDS = {"__start__": START, "__end__": END}

MAX_FOUND = 100
"""Further questions, and further errors, of a checkpoint are not read."""
MAX_VALUE_BYTES = 64 * 1024
"""Larger questions and errors are not decoded: a status must be cheap whatever somebody has stored."""

STATUS_CHANNELS = ("errors", f"custom/{_TASKS}")
"""What `progress` needs of a state: load these channels to derive a status without loading messages."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that a run waits with. node: "" where it is not known."""

    value: Plain
    id: str = ""
    node: str = ""

    @property
    def question(self) -> str:
        """The text of the question, in a line."""
        found = self.value
        if isinstance(found, Mapping):
            texts = [found.get(name) for name in ("question", "prompt", "message", "description", "action")]
            found = next((text for text in texts if isinstance(text, str)), "")
        return found.partition("\n")[0] if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of a run. node: "" where it is not known."""

    message: str
    node: str = ""

    @property
    def first_line(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stood when the checkpoint was taken, with what its tasks have written since.

    ran_nodes: what ran in the step that led to it. next_nodes: what would run next.
    done_nodes: those of `next_nodes` that have written their results already, and need not run again.
    interrupts: questions without an answer. problems: errors of tasks since, or the last one of the `errors` channel.
    is_graph: whether the checkpoint says what runs next. A plain state does not, nor does an adapter's conversation.
    is_finished: whether nothing of a graph would run, or only its end.
    """

    ran_nodes: Sequence[str]
    next_nodes: Sequence[str]
    done_nodes: Sequence[str]
    interrupts: Sequence[Interrupt]
    problems: Sequence[Problem]
    is_graph: bool = True

    @property
    def is_finished(self) -> bool:
        return self.is_graph and not self.interrupts and all(node == END for node in self.next_nodes)


def progress(
    checkpoint: Checkpoint,
    pending_writes: Iterable[PendingWrite] = (),
    parent: Checkpoint | None = None,
    *,
    channels: Collection[str] = (),
) -> Progress:
    """Where a run stands. Understands weavegraph's fields, and LangGraph's checkpoints by `LockstitchSaver`.

    checkpoint: its state may be absent; then errors in it are not seen. pending_writes: its own.
    parent: shows the nodes that ran in LangGraph (see `ran_needs_parent`); its state may be absent.
    channels: the channels of the state that were loaded, such as STATUS_CHANNELS; none means all.

        latest = client.load_latest("order-42", channels=STATUS_CHANNELS)
        progress(latest.checkpoint, latest.pending_writes, channels=STATUS_CHANNELS).next_nodes
    """
    writes = sorted(pending_writes, key=lambda write: (write.task_path, write.task_id, write.index))
    done = {write.task_id for write in writes if write.index >= 0}
    # A task that has gone on after the answer has written its results or its error; until then its question stands.
    gone_on = done | {write.task_id for write in writes if write.channel == _ERROR}
    asking = [write for write in writes if write.channel == _INTERRUPT and write.task_id not in gone_on]
    interrupts = [found for write in asking[:MAX_FOUND] for found in _interrupts(write)]
    failed = [write for write in writes if write.channel == _ERROR]
    problems = [_problem(write) for write in failed[:MAX_FOUND]] or _last_error(checkpoint)
    graph = _langgraph(checkpoint)
    if graph is None:
        ran, following = names(checkpoint.ran_nodes), names(checkpoint.frontier)
    else:
        ran, following = _ran_since(parent, graph), _next(checkpoint, graph, channels)
    finished = dict.fromkeys(node_of(write) for write in writes if write.index >= 0)
    done_nodes = [node for node in finished if node in following]
    return Progress(ran, following, done_nodes, interrupts, problems, _is_graph(checkpoint))


def _is_graph(checkpoint: Checkpoint) -> bool:
    kind = checkpoint.header.type
    return kind in _GRAPHS or not kind.startswith(_OWN)


def ran_needs_parent(checkpoint: Checkpoint) -> bool:
    """Whether `progress` needs the parent to know what ran: LangGraph's checkpoints do not say it themselves."""
    return bool(checkpoint.parent_id) and _langgraph(checkpoint) is not None


def names(nodes: Iterable[NodeKind]) -> list[str]:
    """Nodes by name: `Start`, `End`, or the name of a node of the user's. `Custom:Start` is one that is called Start.

    >>> names([NodeKind(endpoint=ENDPOINT_START), NodeKind(custom="writer"), NodeKind(custom="Start")])
    ['Start', 'writer', 'Custom:Start']
    """
    ends = {ENDPOINT_START: START, ENDPOINT_END: END}
    return [ends.get(node.endpoint, "?") if node.HasField("endpoint") else _own_name(node.custom) for node in nodes]


def _own_name(name: str) -> str:
    """The name of a node of the user's, written out where it could be taken for something else."""
    return _CUSTOM + name if name in (START, END, "") or name.startswith(_CUSTOM) else name


def _graph_name(name: str) -> str:
    """The name of a node of LangGraph's."""
    return _ENDS.get(name) or _own_name(name)


def node_of(write: PendingWrite) -> str:
    """The node whose task has written; "" where the path of the task does not tell."""
    name = write.task_path.removeprefix(_PULL) if write.task_path.startswith(_PULL) else ""
    return _graph_name(name) if name else ""


def _langgraph(checkpoint: Checkpoint | None) -> Mapping[str, Any] | None:
    """What LangGraph's saver keeps in the header; None: it is another framework's checkpoint."""
    if checkpoint is None or not checkpoint.HasField("header"):
        return None
    header: Any = decode(checkpoint.header).value
    inner = header.get("checkpoint") if isinstance(header, Mapping) else None
    return inner if isinstance(inner, Mapping) and isinstance(inner.get("versions_seen"), Mapping) else None


def _ran_since(parent: Checkpoint | None, graph: Mapping[str, Any]) -> list[str]:
    """The nodes that have seen channels which they had not seen in the parent."""
    before = _langgraph(parent)
    if before is None:
        return []
    seen, seen_before = graph["versions_seen"], before["versions_seen"]
    changed = [node for node in seen if seen[node] != seen_before.get(node) and not str(node).startswith("__")]
    return [_graph_name(str(node)) for node in sorted(changed, key=str)]


def _next(checkpoint: Checkpoint, graph: Mapping[str, Any], loaded: Collection[str]) -> list[str]:
    """A node is next when the channel that triggers it has a value."""
    custom = checkpoint.state.custom
    if checkpoint.HasField("state") and not loaded:
        channels = [name for name in sorted(custom) if _has_value(custom, name)]
    else:  # those that the step has updated and that have a value; triggers last for one step
        updated = graph.get("updated_channels")
        channels = sorted(map(str, updated)) if isinstance(updated, list | tuple) else []
    found = [name.removeprefix(_BRANCH) for name in channels if name.startswith(_BRANCH)]
    found += [_joined(name) for name in channels if name.startswith(_JOIN) and _is_complete(custom, name)]
    if _TASKS in channels:
        found += _sent_to(custom, _TASKS) if _TASKS in custom else ["?"]
    if _INPUT in channels and not found:
        found.append(_INPUT)
    return ["?" if name == "?" else _graph_name(name) for name in dict.fromkeys(found)]


def _has_value(custom: Mapping[str, Any], name: str) -> bool:
    return name in custom and custom[name].WhichOneof("value") is not None


def _joined(channel: str) -> str:
    """The node that waits for others: the channel is join:one+other:node."""
    return channel.removeprefix(_JOIN).partition(":")[2]


def _is_complete(custom: Mapping[str, Any], name: str) -> bool:
    """Whether all of the others have come; without the state that is not known, and taken for so."""
    if name not in custom:
        return True
    wanted = set(name.removeprefix(_JOIN).partition(":")[0].split("+"))
    channel = custom[name]
    if channel.WhichOneof("value") == "list":
        seen: Plain = [item.value for item in items(channel)]
    else:
        seen = decode(channel.blob).value
    seen = seen.value if isinstance(seen, Instance) else seen
    return isinstance(seen, list | tuple) and wanted <= {item for item in seen if isinstance(item, str)}


def _sent_to(custom: Mapping[str, Any], name: str) -> list[str]:
    """The nodes that tasks were sent to."""
    channel = custom[name]
    sends: list[object] = []
    for item in items(channel):
        sends.extend(item.value if isinstance(item.value, list) else [item.value])
    targets = (send.value for send in sends if isinstance(send, Instance) and send.type == "Send")
    return [str(value[0]) if isinstance(value, list) and value else str(_of(value, "node")) for value in targets]


def _of(value: object, name: str) -> object:
    return value.get(name, "?") if isinstance(value, Mapping) else "?"


def _interrupts(write: PendingWrite) -> list[Interrupt]:
    value = decode(write.value, max_bytes=MAX_VALUE_BYTES).value
    items = value[:MAX_FOUND] if isinstance(value, list | tuple) else [value]
    node = node_of(write)
    return [
        Interrupt(item.field("value"), str(item.field("id") or ""), node)
        if isinstance(item, Instance) and item.type == "Interrupt"
        else Interrupt(item, "", node)
        for item in items
    ]


def _problem(write: PendingWrite) -> Problem:
    found = decode(write.value, max_bytes=MAX_VALUE_BYTES)
    if found.problem:
        return Problem(f"an error that cannot be read: {found.problem}", node_of(write))
    return Problem(found.value if isinstance(found.value, str) else repr(found.value), node_of(write))


def _last_error(checkpoint: Checkpoint) -> list[Problem]:
    """The last error, where the step of the checkpoint is the one that it arose in."""
    if not checkpoint.state.errors.items:
        return []
    last = checkpoint.state.errors.items[-1]
    scope = last.scope.WhichOneof("scope")
    step = getattr(last.scope, scope).step if scope in ("node", "scheduler", "runner") else checkpoint.step
    if step < checkpoint.step:
        return []  # the run has gone on since
    return [Problem(last.error.message, last.scope.node.kind.removeprefix("Custom:"))]
