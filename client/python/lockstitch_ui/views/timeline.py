"""The timeline of a session: a row for each checkpoint, newest first, beside the graph of their parents."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from lockstitch import ListedCheckpoint
from lockstitch.inspect import Progress, decode, progress
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import ChannelSize
from lockstitch_ui import text
from lockstitch_ui.views import graph

MAX_CHIPS = 4
"""Channels that a row names. The others are counted."""
MAX_NODES = 6
"""Nodes that a row names."""
INTERNAL = ("branch:to:", "join:", "__")
"""How LangGraph's own channels begin: they carry control, not data."""

INTERRUPT = "__interrupt__"
"""What LangGraph calls the channel of questions."""
STEP_ID_DIGITS = 20
"""Of the ids that the server makes of steps."""


class Chip(NamedTuple):
    """A channel that a step changed. kind: grown, shrunk, changed, new or gone."""

    channel: str
    kind: str
    text: str


class Mark(NamedTuple):
    """What stands out of a step. kind: error, question, input or fork."""

    kind: str
    label: str
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    """A checkpoint.

    seconds: since its parent was taken; None: not known. bar: the same, 0 to 100, beside the longest one shown.
    chips: channels that it changed; None where that is not known. growth: of its state, in bytes.
    """

    listed: ListedCheckpoint
    progress: Progress
    parent: Checkpoint | None
    cell: graph.Cell
    seconds: float | None
    bar: float
    chips: Sequence[Chip] | None
    hidden_chips: int
    growth: int | None
    marks: Sequence[Mark]
    parent_sizes: Sequence[ChannelSize] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        return self.listed.checkpoint

    @property
    def key(self) -> graph.Key:
        return key_of(self.checkpoint)

    @property
    def title(self) -> str:
        """What ran, in a few words."""
        nodes = self.progress.ran_nodes
        if nodes:
            more = f" and {len(nodes) - MAX_NODES} more" if len(nodes) > MAX_NODES else ""
            return ", ".join(nodes[:MAX_NODES]) + more
        source = source_of(self.checkpoint)
        return {"input": "input", "update": "state update", "fork": "fork"}.get(source, "")


@dataclass(frozen=True, slots=True)
class Timeline:
    """Rows of a session. namespaces: those shown, with the number of their colour. has_older: more rows follow."""

    rows: Sequence[Row]
    width: int
    has_older: bool
    namespaces: Mapping[str, int] = field(default_factory=dict)

    def find(self, key: graph.Key) -> Row | None:
        """The row of a checkpoint; None: it is not shown."""
        return next((row for row in self.rows if row.key == key), None)


def timeline(listed: Sequence[ListedCheckpoint], limit: int, *, has_older: bool) -> Timeline:
    """The timeline of listed checkpoints, newest first.

    limit: how many become rows; those after them only tell what the rows' parents are.
    """
    parents = parents_of(listed)
    by_key = {key_of(each.checkpoint): each for each in listed}
    shown = listed[:limit]
    has_older = has_older or len(listed) > limit
    nodes = [_node(each.checkpoint, parents.get(key_of(each.checkpoint))) for each in shown]
    cells = graph.layout(nodes, is_complete=not has_older)
    rows = [_row(each, _own_parent(by_key, node), cell) for each, node, cell in zip(shown, nodes, cells, strict=True)]
    longest = max((row.seconds or 0.0 for row in rows), default=0.0)
    namespaces: dict[str, int] = {}
    for row in rows:
        namespaces.setdefault(row.checkpoint.namespace, row.cell.color)
    return Timeline([_scaled(row, longest) for row in rows], graph.width(cells), has_older, namespaces)


def key_of(checkpoint: Checkpoint) -> graph.Key:
    """What names a checkpoint in its session."""
    return checkpoint.namespace, checkpoint.checkpoint_id


def source_of(checkpoint: Checkpoint) -> str:
    """Why LangGraph took a checkpoint: input, loop, update or fork; "" for other frameworks."""
    if "source" not in checkpoint.metadata:
        return ""
    try:
        found = json.loads(checkpoint.metadata["source"])
    except (ValueError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def parents_of(listed: Iterable[ListedCheckpoint]) -> dict[graph.Key, graph.Key]:
    """The parent of each checkpoint that has one.

    A checkpoint that names none grew out of the one before it, where its id is its step, as weavegraph's are. The first
    one of a LangGraph subgraph grew out of that of the graph around it.
    """
    found: dict[graph.Key, graph.Key] = {}
    later: dict[str, Checkpoint] = {}
    for each in listed:
        checkpoint = each.checkpoint
        namespace = checkpoint.namespace
        if namespace in later:
            found[key_of(later.pop(namespace))] = key_of(checkpoint)
        if checkpoint.parent_id:
            found[key_of(checkpoint)] = (namespace, checkpoint.parent_id)
        elif (spawned := _spawned_by(checkpoint)) is not None:
            found[key_of(checkpoint)] = spawned
        elif checkpoint.step and len(checkpoint.checkpoint_id) == STEP_ID_DIGITS:
            later[namespace] = checkpoint
    return found


def channel_chips(new: Sequence[ChannelSize], old: Sequence[ChannelSize]) -> list[Chip]:
    """The channels that differ, the largest change first; LangGraph's own ones are left out."""
    before = {size.channel: size for size in old}
    after = {size.channel: size for size in new}
    changes: list[tuple[int, Chip]] = []
    for name in [*after, *(name for name in before if name not in after)]:
        label = short_name(name)
        if label.startswith(INTERNAL) or _same(before.get(name), after.get(name)):
            continue
        growth = (after[name].bytes if name in after else 0) - (before[name].bytes if name in before else 0)
        kind = "new" if name not in before else "gone" if name not in after else _kind(growth)
        changes.append((abs(growth), Chip(label, kind, "gone" if kind == "gone" else signed(growth))))
    return [chip for _, chip in sorted(changes, key=lambda change: -change[0])]


def short_name(channel: str) -> str:
    """A channel as people call it: custom channels by their name only."""
    return channel.removeprefix("custom/")


def signed(count: int) -> str:
    """A change of a size.

    >>> signed(2048), signed(0)
    ('+2.0 KiB', '±0 B')
    """
    sign = "+" if count > 0 else "\u2212" if count < 0 else "±"
    return sign + text.size(abs(count))


def _same(old: ChannelSize | None, new: ChannelSize | None) -> bool:
    return old is not None and new is not None and old.fingerprint == new.fingerprint


def _kind(growth: int) -> str:
    return "grown" if growth > 0 else "shrunk" if growth < 0 else "changed"


def _node(checkpoint: Checkpoint, parent: graph.Key | None) -> graph.Node:
    return graph.Node(key_of(checkpoint), parent, parent is not None and parent[0] != checkpoint.namespace)


def _own_parent(by_key: Mapping[graph.Key, ListedCheckpoint], node: graph.Node) -> ListedCheckpoint | None:
    return None if node.parent is None or node.is_spawned else by_key.get(node.parent)


def _row(listed: ListedCheckpoint, parent: ListedCheckpoint | None, cell: graph.Cell) -> Row:
    checkpoint = listed.checkpoint
    before = parent.checkpoint if parent is not None else None
    found = progress(checkpoint, listed.pending_writes, before)
    seconds = None
    if before is not None:
        seconds = max(0.0, text.seconds(checkpoint.created_at) - text.seconds(before.created_at))
    is_first = parent is None and not checkpoint.parent_id
    chips = _chips(listed, parent, is_first=is_first)
    return Row(
        listed,
        found,
        before,
        cell,
        seconds,
        0.0,
        None if chips is None else chips[:MAX_CHIPS],
        0 if chips is None else max(0, len(chips) - MAX_CHIPS),
        listed.state_bytes - parent.state_bytes if parent is not None else listed.state_bytes if is_first else None,
        _marks(listed, found, has_new_errors=_grown_errors(listed, parent)),
        parent.channels if parent is not None else (),
    )


def _chips(listed: ListedCheckpoint, parent: ListedCheckpoint | None, *, is_first: bool) -> list[Chip] | None:
    """None: neither the sizes of the channels nor the framework tell."""
    if listed.channels and (parent is not None or is_first):
        return channel_chips(listed.channels, parent.channels if parent is not None else ())
    names = list(listed.checkpoint.updated_channels) or _updated(listed.checkpoint)
    return [Chip(name, "changed", "") for name in names if not name.startswith(INTERNAL)] if names else None


def _updated(checkpoint: Checkpoint) -> list[str]:
    """The channels that LangGraph says it has updated."""
    header: Any = decode(checkpoint.header).value if checkpoint.HasField("header") else None
    inner = header.get("checkpoint") if isinstance(header, dict) else None
    names = inner.get("updated_channels") if isinstance(inner, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _grown_errors(listed: ListedCheckpoint, parent: ListedCheckpoint | None) -> bool:
    """Whether the `errors` channel grew. The list has its size, not its content."""
    before = parent.channels if parent is not None else ()
    return any(
        chip.channel == "errors" and chip.kind in ("new", "grown") for chip in channel_chips(listed.channels, before)
    )


def _marks(listed: ListedCheckpoint, found: Progress, *, has_new_errors: bool) -> list[Mark]:
    marks = [Mark("error", "error", problem.first_line) for problem in found.problems[:1]]
    if has_new_errors and not marks:
        marks.append(Mark("error", "error", ""))
    marks += [Mark("question", "asks", interrupt.question) for interrupt in found.interrupts[:1]]
    if not found.interrupts and any(write.channel == INTERRUPT for write in listed.pending_writes):
        marks.append(Mark("asked", "asked", "a question that was answered"))
    source = source_of(listed.checkpoint)
    if source in ("input", "update", "fork"):
        marks.append(Mark("fork" if source == "fork" else "input", source, ""))
    return marks


def _spawned_by(checkpoint: Checkpoint) -> graph.Key | None:
    """The checkpoint of the graph around a LangGraph subgraph: of the nearest namespace that the header names."""
    if not checkpoint.namespace or not checkpoint.HasField("header"):
        return None
    header: Any = decode(checkpoint.header).value
    metadata = header.get("metadata") if isinstance(header, dict) else None
    found = metadata.get("parents") if isinstance(metadata, dict) else None
    outer = {name: id for name, id in found.items() if isinstance(id, str)} if isinstance(found, dict) else {}
    if not outer:
        return None
    nearest = max((name for name in outer if isinstance(name, str)), key=len)
    return nearest, outer[nearest]


def _scaled(row: Row, longest: float) -> Row:
    share = 100 * (row.seconds or 0.0) / longest if longest else 0.0
    return replace(row, bar=share)
