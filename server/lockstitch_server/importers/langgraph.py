"""What LangGraph's savers write into their tables, as the checkpoints that our own saver would have made of it.

The same row always becomes the same checkpoint, so that an import can be repeated. Values are taken apart no further
than the saver takes them apart, and nothing in them is made an object: whatever a program has put there comes over as
the bytes it is, whether or not its classes can be found here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ormsgpack

from lockstitch.adapters.langgraph._channels import to_channel
from lockstitch.adapters.langgraph._codec import Place, to_message
from lockstitch.adapters.langgraph._dependencies import Dependencies, dependencies, missing
from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.importers.json_slices import members
from lockstitch_server.importers.transfer import RowInvalid

MSGPACK = "msgpack"
JSON = "json"
EMPTY = "empty"
TASKS = "__pregel_tasks"
_OPTIONS = ormsgpack.OPT_NON_STR_KEYS

Blob = tuple[str, bytes]
"""(type, data)"""


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """A thread, and how many checkpoints there are of it."""

    id: str
    steps: int


@dataclass(frozen=True, slots=True)
class WriteRow:
    """A pending write."""

    task_id: str
    task_path: str
    index: int
    channel: str
    type: str | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint with its pending writes.

    content: the checkpoint: JSON text, or what a serializer has made of it, with its type.
    metadata: JSON.
    blobs: channels that are kept apart.
    sends: what was sent to tasks, where that is kept with the parent.
    depends_on: the ancestors that its DeltaChannels are restored from.
    """

    thread_id: str
    namespace: str
    checkpoint_id: str
    parent_id: str | None
    content: str | Blob
    metadata: str | bytes | None
    blobs: Sequence[tuple[str, Blob]]
    writes: Sequence[WriteRow]
    sends: Sequence[Blob] = ()
    depends_on: Dependencies = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people."""
        return f"thread {self.thread_id!r}, checkpoint {self.checkpoint_id!r} in {self.namespace!r}"


class Untouched:
    """A serializer that leaves alone whatever is not msgpack's own: objects of classes stay the bytes they are."""

    def dumps_typed(self, obj: Any) -> Blob:
        """As LangGraph's serializer does it."""
        if obj is None:
            return "null", b""
        if isinstance(obj, bytes):
            return "bytes", obj
        return MSGPACK, ormsgpack.packb(obj, option=_OPTIONS)

    def loads_typed(self, data: Blob) -> Any:
        """The value. Raises ValueError for another encoding."""
        kind, content = data
        if kind != MSGPACK:
            raise ValueError(f"its encoding is {kind!r}, not {MSGPACK!r}")
        return ormsgpack.unpackb(content, ext_hook=ormsgpack.Ext, option=_OPTIONS)


_SERDE = Untouched()


def checkpoint(row: CheckpointRow) -> tuple[pb.Checkpoint, list[pb.PendingWrite]]:
    """The checkpoint that a row holds, and its writes. Raises RowInvalid."""
    try:
        return _checkpoint(row), [_write(write) for write in row.writes]
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # msgpack's errors are among them
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise RowInvalid(f"{row.name}: {reason}") from error


def _checkpoint(row: CheckpointRow) -> pb.Checkpoint:
    content, blobs = _content(row)
    metadata = json.loads(row.metadata) if row.metadata else {}
    place = Place(row.thread_id, row.namespace, row.parent_id or "")
    # Older savers have left `id` out of what they keep; the row's is what counts.
    whole = {**content, "id": row.checkpoint_id}
    message = to_message(_SERDE, place, whole, metadata, depends_on=row.depends_on)
    versions = content.get("channel_versions", {})
    for name, blob in blobs:
        if blob[0] != EMPTY:
            message.state.custom[name].CopyFrom(_channel(blob, versions.get(name)))
    if row.sends:
        items = [pb.TypedBlob(type=kind, data=data) for kind, data in row.sends]
        message.state.custom[TASKS].CopyFrom(pb.CustomChannel(list=pb.BlobList(items=items)))
    return message


class Thread:
    """Follows the checkpoints of one thread, parents before children, and says what each depends on."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Dependencies] = {}

    def followed(self, row: CheckpointRow) -> CheckpointRow:
        """The row with its dependencies."""
        parent_id = row.parent_id or ""
        try:
            channels = missing({}, json.loads(row.metadata)) if row.metadata else ()
        except (ValueError, AttributeError):
            return row  # the conversion of the row reports it
        found = dependencies(channels, parent_id, self._found.get((row.namespace, parent_id), {}))
        if not found:
            return row
        self._found[row.namespace, row.checkpoint_id] = found
        return replace(row, depends_on=found)


def _content(row: CheckpointRow) -> tuple[dict[str, Any], Sequence[tuple[str, Blob]]]:
    """A checkpoint without those of its channels that stay the bytes they are, and these."""
    if isinstance(row.content, str):
        return json.loads(row.content), row.blobs
    kind, data = row.content
    if kind != JSON:
        return _SERDE.loads_typed(row.content), row.blobs
    # As the first releases wrote it. Objects are written in it as JSON of their own: a channel's text stays as it is.
    parts = members(data.decode())
    channels = members(parts.pop("channel_values", "{}"))
    kept = [(name, (JSON, text.encode())) for name, text in channels.items()]
    return {name: json.loads(text) for name, text in parts.items()}, [*row.blobs, *kept]


def _channel(blob: Blob, version: object) -> pb.CustomChannel:
    kind, data = blob
    if kind == MSGPACK:
        return to_channel(_SERDE, _SERDE.loads_typed(blob), version)
    return pb.CustomChannel(version="" if version is None else str(version), blob=pb.TypedBlob(type=kind, data=data))


def _write(row: WriteRow) -> pb.PendingWrite:
    return pb.PendingWrite(
        task_id=row.task_id,
        task_path=row.task_path,
        index=row.index,
        channel=row.channel,
        value=pb.TypedBlob(type=row.type or "", data=row.data or b""),
    )
