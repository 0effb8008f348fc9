"""The contract's rules for requests, as data: what the fields of each message must keep to.

`checker` compiles and applies them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstitch_server.config import Limits
from lockstitch_server.core.ids import MAX_STEP
from lockstitch_server.rpc import conditions


@dataclass(frozen=True)
class Id:
    """Text without control characters, of `least` to `most` bytes; `most` may name a limit."""

    most: int | str
    least: int = 0


@dataclass(frozen=True)
class Text:
    """Any text of at most `most` bytes; `most` may name a limit."""

    most: int | str


@dataclass(frozen=True)
class Number:
    """A number of `least` to `most`."""

    most: int
    least: int = 0


@dataclass(frozen=True)
class Json:
    """JSON text; empty text too where `optional`."""

    optional: bool = False


@dataclass(frozen=True)
class Count:
    """At least `least` and at most `most` items; `most` may name a limit."""

    most: int | str
    least: int = 0


@dataclass(frozen=True)
class Each:
    """Every item keeps to a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Keys:
    """Every key of a map keeps to a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Values:
    """Every value of a map keeps to a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Sub:
    """A message, if it is there, keeps to the rules of its type."""


@dataclass(frozen=True)
class Required:
    """A message that must be there, and keep to the rules of its type."""


@dataclass(frozen=True)
class OneOf:
    """One of a oneof's fields is set. Stands under the oneof's name."""


@dataclass(frozen=True)
class Known:
    """An enum value other than 0."""


@dataclass(frozen=True)
class Custom:
    """Whatever a function says of the message. Stands under ""."""

    check: Callable[[Any, Limits], None]


Rule = Id | Text | Number | Json | Count | Each | Keys | Values | Sub | Required | OneOf | Known | Custom


SESSION_ID = Id("max_session_id_bytes", 1)
NAMESPACE = Id("max_namespace_bytes")
CHECKPOINT_ID = Id("max_checkpoint_id_bytes")
KEY = Text("max_key_bytes")
STEP = Number(MAX_STEP)
LONGEST_CHANNEL = 4096
"""In bytes: with its prefix, longer than any key."""
LIST = Count("max_list_items")
NODES = (LIST, Each(Sub()))
LABELS = (Count("max_labels"), Keys(Id(255, 1)), Values(Id(255)))
METADATA = (Count("max_metadata_entries"), Keys(Text(255)), Values(Json()))
CHANNELS = (LIST, Each(Text(LONGEST_CHANNEL)))
PARTS = (Count("max_parts"), Each(KEY))

RULES: Mapping[str, Mapping[str, Sequence[Rule]]] = {
    "google.protobuf.Timestamp": {"": [Custom(conditions.timestamp)]},
    "google.protobuf.Duration": {"": [Custom(conditions.ttl)]},
    "lockstitch.v1.NodeKind": {"kind": [OneOf()], "endpoint": [Known()], "custom": [KEY]},
    "lockstitch.v1.TypedBlob": {"type": [Text(255)]},
    "lockstitch.v1.BlobList": {"items": [Each(Sub())]},
    "lockstitch.v1.CustomChannel": {"version": [Text(255)], "blob": [Sub()], "list": [Sub()]},
    "lockstitch.v1.ExtrasChannel": {"entries": [Keys(KEY), Values(Json())]},
    "lockstitch.v1.WeaveError": {"details": [Json(optional=True)], "": [Custom(conditions.causes)]},
    "lockstitch.v1.ErrorEvent": {"when": [Sub()], "error": [Sub()], "tags": [LIST], "context": [Json(optional=True)]},
    "lockstitch.v1.ErrorsChannel": {"items": [Each(Sub())]},
    "lockstitch.v1.VersionedState": {
        "": [Custom(conditions.state)],
        "extra": [Sub()],
        "errors": [Sub()],
        "custom": [Keys(KEY), Values(Sub())],
    },
    "lockstitch.v1.ChannelVersions": {"versions": [LIST]},
    "lockstitch.v1.Checkpoint": {
        "": [Custom(conditions.metadata)],
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [CHECKPOINT_ID],
        "parent_id": [CHECKPOINT_ID],
        "step": [STEP],
        "state": [Sub()],
        "frontier": NODES,
        "versions_seen": [LIST, Values(Sub())],
        "created_at": [Sub()],
        "ran_nodes": NODES,
        "skipped_nodes": NODES,
        "updated_channels": [LIST],
        "metadata": METADATA,
        "header": [Sub()],
        "depends_on": [CHECKPOINT_ID],
    },
    "lockstitch.v1.PendingWrite": {
        "task_id": [Id(255, 1)],
        "task_path": [Id(1024)],
        "channel": [Id("max_key_bytes")],
        "value": [Sub()],
    },
    "lockstitch.v1.ExtrasDelta": {"set": [Keys(KEY), Values(Json())], "remove": PARTS},
    "lockstitch.v1.ErrorsDelta": {"append": [Each(Sub())]},
    "lockstitch.v1.CustomDelta": {"version": [Text(255)], "blob": [Sub()], "list": [Sub()], "append": [Sub()]},
    "lockstitch.v1.StateDelta": {
        "": [Custom(conditions.delta)],
        "extra": [Sub()],
        "errors": [Sub()],
        "custom": [Keys(KEY), Values(Sub())],
        "removed_custom": PARTS,
    },
    "lockstitch.v1.ExpectedLatest": {
        "expected": [OneOf()],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "step": [STEP],
        "": [Custom(conditions.expected)],
    },
    "lockstitch.v1.SaveRequest": {
        "checkpoint": [Required()],
        "": [Custom(conditions.save)],
        "expected_latest": [Sub()],
        "base_checkpoint_id": [CHECKPOINT_ID],
        "delta": [Sub()],
        "writes": [Count("max_writes"), Each(Sub())],
        "ttl": [Sub()],
    },
    "lockstitch.v1.SaveStreamRequest": {"save": [Required()], "trace_context": [Count(100)], "batch": [Count(0)]},
    "lockstitch.v1.SaveWritesRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "writes": [Count("max_writes", 1), Each(Sub())],
    },
    "lockstitch.v1.LoadLatestRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "channels": CHANNELS,
    },
    "lockstitch.v1.LoadRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "selector": [OneOf()],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "step": [STEP],
        "channels": CHANNELS,
    },
    "lockstitch.v1.LoadLatestStreamRequest": {"requests": [Count("max_sessions_per_stream", 1), Each(Sub())]},
    "lockstitch.v1.ListSessionsRequest": {
        "": [Custom(conditions.page)],
        "session_id_prefix": [Id("max_session_id_bytes")],
        "labels": [Count("max_labels"), Keys(Id(255)), Values(Id(255))],
        "updated_since": [Sub()],
        "updated_before": [Sub()],
    },
    "lockstitch.v1.ListCheckpointsRequest": {
        "": [Custom(conditions.checkpoints), Custom(conditions.metadata)],
        "session_id": [Id("max_session_id_bytes")],
        "namespace": [NAMESPACE],
        "min_step": [STEP],
        "max_step": [STEP],
        "ran_node": [Sub()],
        "skipped_node": [Sub()],
        "before_checkpoint_id": [CHECKPOINT_ID],
        "metadata": METADATA,
        "channels": CHANNELS,
        "write_channels": CHANNELS,
    },
    "lockstitch.v1.RetentionPolicy": {"max_age": [Sub()]},
    "lockstitch.v1.CheckpointRef": {
        "namespace": [NAMESPACE],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
    },
    "lockstitch.v1.MetadataFilter": {
        "": [Custom(conditions.entries)],
        "entries": [Count("max_metadata_entries", 1), Keys(Text(255)), Values(Json())],
    },
    "lockstitch.v1.GetSessionRequest": {"session_id": [SESSION_ID]},
    "lockstitch.v1.UpdateSessionRequest": {
        "session_id": [SESSION_ID],
        "set_labels": LABELS,
        "remove_labels": [Count("max_labels"), Each(Id(255, 1))],
        "ttl": [Sub()],
        "retention": [Sub()],
        "": [Custom(conditions.update_session)],
    },
    "lockstitch.v1.DeleteSessionsRequest": {
        "session_ids": [Count("max_session_ids", 1), Each(SESSION_ID)],
        "": [Custom(conditions.tombstone)],
    },
    "lockstitch.v1.DeleteCheckpointsRequest": {
        "session_id": [Id("max_session_id_bytes")],
        "which": [OneOf()],
        "after": [Sub()],
        "metadata": [Sub()],
        "": [Custom(conditions.delete_checkpoints)],
    },
    "lockstitch.v1.CopySessionRequest": {
        "source_session_id": [SESSION_ID],
        "target_session_id": [SESSION_ID],
        "at": [Sub()],
        "labels": LABELS,
        "ttl": [Sub()],
        "": [Custom(conditions.copy_session)],
    },
    "lockstitch.v1.PruneSessionsRequest": {
        "session_ids": [Count("max_session_ids"), Each(SESSION_ID)],
        "retention": [Sub()],
        "": [Custom(conditions.page)],
    },
    "lockstitch.v1.WatchSessionRequest": {"session_id": [SESSION_ID], "": [Custom(conditions.heartbeat)]},
    "lockstitch.v1.AcquireLeaseRequest": {
        "session_id": [SESSION_ID],
        "holder": [Id(255, 1)],
        "acquisition_id": [Id(64)],
        "ttl": [Sub()],
        "": [Custom(conditions.lease_ttl)],
    },
    "lockstitch.v1.RenewLeaseRequest": {
        "session_id": [SESSION_ID],
        "ttl": [Sub()],
        "": [Custom(conditions.lease_token), Custom(conditions.lease_ttl)],
    },
    "lockstitch.v1.ReleaseLeaseRequest": {"session_id": [SESSION_ID], "": [Custom(conditions.lease_token)]},
    "lockstitch.v1.WalkAncestorsRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [CHECKPOINT_ID],
        "channels": CHANNELS,
        "write_channels": CHANNELS,
    },
}
