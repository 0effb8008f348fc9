"""What the tabs of a checkpoint show beside its state: writes, errors, nodes and versions, metadata."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.inspect import Decoded, Encoding, Progress, decode, node_of
from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    ErrorEvent,
    ErrorScope,
    PendingWrite,
    TypedBlob,
    VersionedState,
    WeaveError,
)
from lockstitch_ui.views.blobs import Hex, hexadecimal
from lockstitch_ui.views.tree import Budget, Node, tree

MAX_WRITES = 200
MAX_ERRORS = 100
MAX_VERSIONS = 1000
MAX_CAUSES = 100


@dataclass(frozen=True, slots=True)
class Value:
    """A value as a tree, or as bytes. encoding: how it was stored."""

    encoding: str
    size: int
    node: Node | None
    dump: Hex | None


@dataclass(frozen=True, slots=True)
class Write:
    """A pending write. index: within its task."""

    channel: str
    index: int
    value: Value


@dataclass(frozen=True, slots=True)
class Task:
    """The pending writes of a task."""

    id: str
    path: str
    node: str
    writes: Sequence[Write]


@dataclass(frozen=True, slots=True)
class ShownError:
    """An entry of the errors channel. causes: their messages and details, nearest first."""

    when: str
    place: str
    message: str
    details: Node | None
    causes: Sequence[tuple[str, str]]
    tags: Sequence[str]
    context: Node | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a channel that a node has seen. current: the channel's now; "" where it is not known."""

    node: str
    channel: str
    seen: str
    current: str


def value_of(blob: TypedBlob, budget: Budget, label: str = "") -> Value:
    """A stored value."""
    found = budget.decode(blob)
    return Value(blob.type, len(blob.data), *_shown(found, blob.data, budget, label))


def tasks(writes: Sequence[PendingWrite]) -> tuple[list[Task], int]:
    """Pending writes by task, and how many are not shown."""
    budget = Budget()
    found: dict[tuple[str, str], list[Write]] = {}
    for write in writes[:MAX_WRITES]:
        shown = Write(write.channel, write.index, value_of(write.value, budget, write.channel))
        found.setdefault((write.task_id, write.task_path), []).append(shown)
    made = [Task(id, path, node_of(PendingWrite(task_path=path)), shown) for (id, path), shown in found.items()]
    return made, max(0, len(writes) - MAX_WRITES)


def errors(state: VersionedState, known: int | None) -> tuple[list[ShownError], int]:
    """The errors channel, newest first, and how many are not shown. known: how many the parent has."""
    budget = Budget()
    items = state.errors.items
    first = max(0, len(items) - MAX_ERRORS)
    shown = [
        _error(items[number], budget, is_new=known is not None and number >= known)
        for number in range(first, len(items))
    ]
    return shown[::-1], first


def place_of(scope: ErrorScope) -> str:
    """Where an error arose, in words."""
    kind = scope.WhichOneof("scope")
    if kind == "node":
        return f"node {scope.node.kind.removeprefix('Custom:')}, step {scope.node.step}"
    if kind == "scheduler":
        return f"scheduler, step {scope.scheduler.step}"
    if kind == "runner":
        return f"runner, step {scope.runner.step}"
    return "application" if kind == "app" else ""


def exact_time(time: Timestamp) -> str:
    """A time in UTC, in full."""
    try:
        whole = datetime.fromtimestamp(time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{time.seconds}.{time.nanos:09} s since 1970"
    return f"{whole}.{time.nanos:09} UTC" if time.nanos else f"{whole} UTC"


def versions(checkpoint: Checkpoint) -> tuple[list[Version], int]:
    """What each node has seen, by node and channel, and how many are not shown."""
    header: Any = decode(checkpoint.header).value if checkpoint.HasField("header") else None
    graph = header.get("checkpoint") if isinstance(header, dict) else None
    if isinstance(graph, dict) and isinstance(graph.get("versions_seen"), dict):
        seen, now = graph["versions_seen"], graph.get("channel_versions")
    else:
        seen = {node: dict(found.versions) for node, found in checkpoint.versions_seen.items()}
        now = None
    rows = [
        Version(str(node), str(channel), str(version), _current(now, channel))
        for node in sorted(seen, key=str)
        if isinstance(seen[node], Mapping)
        for channel, version in sorted(seen[node].items(), key=lambda pair: str(pair[0]))
    ]
    return rows[:MAX_VERSIONS], max(0, len(rows) - MAX_VERSIONS)


def metadata(checkpoint: Checkpoint) -> list[tuple[str, Node]]:
    """The metadata, by key, as trees."""
    budget = Budget()
    found = []
    for key in sorted(checkpoint.metadata):
        text = checkpoint.metadata[key]
        decoded = budget.decode(TypedBlob(type="json", data=text.encode()))
        value = text if decoded.encoding is Encoding.BYTES else decoded.value
        found.append((key, tree(value, budget, base=(key,))))
    return found


def next_nodes(progress: Progress) -> list[tuple[str, bool]]:
    """The nodes that would run next, each with whether its results are there already."""
    return [(node, node in progress.done_nodes) for node in progress.next_nodes]


def _current(now: object, channel: object) -> str:
    return str(now[channel]) if isinstance(now, Mapping) and channel in now else ""


def _shown(found: Decoded, data: bytes, budget: Budget, label: str) -> tuple[Node | None, Hex | None]:
    if found.encoding is Encoding.BYTES:
        return None, hexadecimal(data, problem=found.problem)
    return tree(found.value, budget, base=(label,) if label else ()), None


def _error(event: ErrorEvent, budget: Budget, *, is_new: bool) -> ShownError:
    return ShownError(
        exact_time(event.when) if event.HasField("when") else "",
        place_of(event.scope),
        budget.take_text(event.error.message, 10_000),
        _json(event.error.details, budget),
        [
            (budget.take_text(cause.message), budget.take_text(cause.details, 500))
            for cause in islice(_causes(event.error), MAX_CAUSES)
        ],
        list(event.tags[:50]),
        _json(event.context, budget),
        is_new,
    )


def _causes(error: WeaveError) -> Iterator[WeaveError]:
    """The errors behind an error, nearest first."""
    while error.HasField("cause"):
        error = error.cause
        yield error


def _json(text: str, budget: Budget) -> Node | None:
    if text in ("", "null"):
        return None
    found = budget.decode(TypedBlob(type="json", data=text.encode()))
    return tree(text if found.encoding is Encoding.BYTES else found.value, budget)
