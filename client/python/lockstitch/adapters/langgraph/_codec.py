"""LangGraph's checkpoints as the contract's, and back.

thread_id, checkpoint_ns, id, parent   session_id, namespace, checkpoint_id, parent_id
channel_values                         state.custom, one channel each
metadata                               metadata that is JSON, except the step
step in the metadata                   step (0 for -1, which is the input's)
ts                                     created_at, where that says the same
DeltaChannels' oldest ancestor         depends_on, so that retention keeps it
everything else, exactly               header: {"checkpoint": {...}, "metadata": {the step, and what is not JSON},
                                                "depends_on": {DeltaChannel: ancestor},
                                                "checkpoint_ns": where its hash is the namespace}
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from google.protobuf.timestamp_pb2 import Timestamp
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch.adapters.langgraph import _namespaces
from lockstitch.adapters.langgraph._channels import from_channels, to_channel
from lockstitch.adapters.langgraph._dependencies import KEY, Dependencies, farthest
from lockstitch.adapters.langgraph._dumped import Dump, to_blob
from lockstitch.adapters.langgraph._metadata import STEP, joined, split, step_of
from lockstitch.adapters.langgraph._namespaces import stored
from lockstitch.adapters.langgraph._revived import Load, from_blob
from lockstitch.adapters.langgraph._shared import incoming, outgoing
from lockstitch.v1 import checkpoint_pb2 as pb

_ELSEWHERE = ("id", "channel_values")


class Place(NamedTuple):
    """Where a checkpoint stands. Its own id, or its parent's, as the occasion is; "" for none.

    namespace: LangGraph's; None where the caller named none.
    """

    thread_id: str
    namespace: str | None
    checkpoint_id: str

    @classmethod
    def of(cls, config: RunnableConfig) -> "Place":
        """What a config says. Raises KeyError without a thread_id."""
        named = config["configurable"]
        namespace = named.get("checkpoint_ns")
        checkpoint_id = named.get("checkpoint_id")
        return cls(str(named["thread_id"]), None if namespace is None else str(namespace), str(checkpoint_id or ""))

    @property
    def named(self) -> tuple[str, str, str]:
        """All three, as the server knows them."""
        return self.thread_id, self.ns, self.checkpoint_id

    @property
    def ns(self) -> str:
        """The namespace as it is stored; the root where none was named."""
        return stored(self.namespace or "")


def to_config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {
        "configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id},
    }


def to_message(
    serde: SerializerProtocol,
    parent: Place,
    checkpoint: Mapping[str, Any],
    metadata: Mapping[str, Any],
    ready: Mapping[str, pb.CustomChannel] = MappingProxyType({}),
    dump: Dump = to_blob,
    depends_on: Dependencies = MappingProxyType({}),
    before: Mapping[str, pb.CustomChannel] = MappingProxyType({}),
) -> pb.Checkpoint:
    """A checkpoint whose parent is `parent`. Raises what the serializer raises.

    ready: channels that have been dumped already. dump: how items of lists are dumped. depends_on: of DeltaChannels.
    before: lists as they were dumped for the parent.
    """
    texts, rest = split(metadata)
    versions = checkpoint.get("channel_versions", {})
    created_at = _timestamp(checkpoint.get("ts"))
    elsewhere = _ELSEWHERE if created_at is None or _text(created_at) != checkpoint["ts"] else (*_ELSEWHERE, "ts")
    header: dict[str, Any] = {"checkpoint": {k: v for k, v in checkpoint.items() if k not in elsewhere}}
    if rest:
        header["metadata"] = rest
    if depends_on:
        header[KEY] = dict(depends_on)
    if parent.ns != (parent.namespace or ""):
        header[_namespaces.KEY] = parent.namespace
    message = pb.Checkpoint(
        session_id=parent.thread_id,
        namespace=parent.ns,
        checkpoint_id=str(checkpoint["id"]),
        parent_id=parent.checkpoint_id,
        step=step_of(metadata.get(STEP)) or 0,
        state=pb.VersionedState(),
        created_at=created_at,
        metadata=texts,
        header=to_blob(serde, header),
        depends_on=farthest(depends_on),
    )
    for name, value in checkpoint.get("channel_values", {}).items():
        channel = ready.get(name)
        if channel is None:
            channel = to_channel(serde, outgoing(serde, name, value), versions.get(name), dump, before.get(name))
        message.state.custom[name].CopyFrom(channel)  # once: each level of a constructor would copy it
    return message


def from_message(
    serde: SerializerProtocol,
    message: pb.Checkpoint,
    channels: Mapping[str, pb.CustomChannel],
    writes: Sequence[pb.PendingWrite],
    load: Load = from_blob,
) -> CheckpointTuple:
    """A checkpoint with its channels and pending writes. Raises what the serializer raises.

    channels: those of its state, which the message need not have. load: how items of lists are loaded.
    """
    header = from_blob(serde, message.header) if message.HasField("header") else {}
    rest = header.get("checkpoint", {})
    rest.setdefault("ts", _text(message.created_at))
    loaded = from_channels(serde, channels, rest.get("channel_versions", ()), load)
    values = {name: incoming(serde, name, value) for name, value in loaded.items()}
    thread_id, namespace = message.session_id, header.get(_namespaces.KEY, message.namespace)
    return CheckpointTuple(
        config=to_config(thread_id, namespace, message.checkpoint_id),
        checkpoint=cast(Checkpoint, {**rest, "id": message.checkpoint_id, "channel_values": values}),
        metadata=cast(CheckpointMetadata, joined(message.metadata, header.get("metadata", {}))),
        parent_config=to_config(thread_id, namespace, message.parent_id) if message.parent_id else None,
        pending_writes=[from_write(serde, write) for write in writes],
    )


def dependencies_of(serde: SerializerProtocol, header: pb.TypedBlob) -> Dependencies:
    """The dependencies that a checkpoint's header keeps."""
    return from_blob(serde, header).get(KEY, {}) if header.type else {}


def to_writes(
    serde: SerializerProtocol, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
) -> list[pb.PendingWrite]:
    """What a task has written; errors, interrupts and the like have places of their own."""
    return [
        pb.PendingWrite(
            task_id=task_id,
            task_path=task_path,
            index=WRITES_IDX_MAP.get(channel, number),
            channel=channel,
            value=to_blob(serde, outgoing(serde, channel, value)),
        )
        for number, (channel, value) in enumerate(writes)
    ]


def from_write(serde: SerializerProtocol, write: pb.PendingWrite) -> tuple[str, str, Any]:
    """(task_id, channel, value)"""
    return write.task_id, write.channel, incoming(serde, write.channel, from_blob(serde, write.value))


def _text(when: Timestamp) -> str:
    """As LangGraph writes it."""
    return when.ToDatetime(UTC).isoformat()


def _timestamp(text: object) -> Timestamp | None:
    """None: it is no time; the server's will do."""
    result = Timestamp()
    with suppress(ValueError, OverflowError):
        when = datetime.fromisoformat(str(text))
        if when.tzinfo is not None:
            result.FromDatetime(when)
            return result
    return None
