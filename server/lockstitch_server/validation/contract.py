"""The contract's rules: what the fields of each message must keep. Rules under "" are about the message as a whole."""

from collections.abc import Mapping, Sequence

from lockstitch_server.core.ids import MAX_STEP
from lockstitch_server.validation import message_rules
from lockstitch_server.validation.rules import (
    Count,
    Each,
    Entries,
    FieldRule,
    Id,
    Json,
    KnownFields,
    MessageRule,
    NonZero,
    Number,
    OneOf,
    Required,
    Seconds,
    Sub,
    Text,
    Time,
)

SESSION_ID = Id("max_session_id_bytes", 1)
NAMESPACE = Id("max_namespace_bytes")
CHECKPOINT_ID = Id("max_checkpoint_id_bytes")
KEY = Text("max_key_bytes")
STEP = Number(MAX_STEP)
LONGEST_CHANNEL = 4096
"""In bytes: with its prefix, longer than any key."""
LIST = Count("max_list_items")
NODES = (LIST, Each(Sub()))
LABELS = (Count("max_labels"), Entries(Id(255, 1), Id(255)))
METADATA = (Count("max_metadata_entries"), Entries(Text(255), Json()))
CHANNELS = (LIST, Each(Text(LONGEST_CHANNEL)))
PARTS = (Count("max_parts"), Each(KEY))

PAGE_SIZE = Number(2**31 - 1)
TTL = Seconds(100 * 366 * 24 * 3600)
LEASE_TTL = Seconds("max_lease_seconds")
TOMBSTONE = Seconds(366 * 24 * 3600, 0)
HEARTBEAT = Seconds(3600)

CONTRACT: Mapping[str, Mapping[str, Sequence[FieldRule]]] = {
    "lockstitch.v1.NodeKind": {"kind": [OneOf()], "endpoint": [NonZero()], "custom": [KEY]},
    "lockstitch.v1.TypedBlob": {"type": [Text(255)]},
    "lockstitch.v1.BlobList": {"items": [Each(Sub())]},
    "lockstitch.v1.CustomChannel": {"version": [Text(255)], "blob": [Sub()], "list": [Sub()]},
    "lockstitch.v1.ExtrasChannel": {"entries": [Entries(KEY, Json())]},
    "lockstitch.v1.WeaveError": {"details": [Json(optional=True)], "": [MessageRule(message_rules.causes)]},
    "lockstitch.v1.ErrorEvent": {"when": [Time()], "error": [Sub()], "tags": [LIST], "context": [Json(optional=True)]},
    "lockstitch.v1.ErrorsChannel": {"items": [Each(Sub())]},
    "lockstitch.v1.VersionedState": {
        "": [MessageRule(message_rules.state)],
        "extra": [Sub()],
        "errors": [Sub()],
        "custom": [Entries(KEY, Sub())],
    },
    "lockstitch.v1.ChannelVersions": {"versions": [LIST]},
    "lockstitch.v1.Checkpoint": {
        "": [MessageRule(message_rules.metadata)],
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [CHECKPOINT_ID],
        "parent_id": [CHECKPOINT_ID],
        "step": [STEP],
        "state": [Sub()],
        "frontier": NODES,
        "versions_seen": [LIST, Entries(None, Sub())],
        "created_at": [Time()],
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
    "lockstitch.v1.MessagesDelta": {"": [KnownFields()]},
    "lockstitch.v1.ExtrasDelta": {"": [KnownFields()], "set": [Entries(KEY, Json())], "remove": PARTS},
    "lockstitch.v1.ErrorsDelta": {"": [KnownFields()], "append": [Each(Sub())]},
    "lockstitch.v1.CustomDelta": {
        "": [KnownFields()],
        "version": [Text(255)],
        "blob": [Sub()],
        "list": [Sub()],
        "append": [KnownFields(), Sub()],
    },
    "lockstitch.v1.StateDelta": {
        "": [KnownFields(), MessageRule(message_rules.delta)],
        "messages": [Sub()],
        "extra": [Sub()],
        "errors": [Sub()],
        "custom": [Entries(KEY, Sub())],
        "removed_custom": PARTS,
    },
    "lockstitch.v1.ExpectedLatest": {
        "expected": [OneOf()],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "step": [STEP],
        "none": [NonZero()],
        "": [MessageRule(message_rules.expected_latest)],
    },
    "lockstitch.v1.SaveId": {"writer": [NonZero()], "number": [NonZero()]},
    "lockstitch.v1.SaveRequest": {
        "checkpoint": [Required()],
        "": [MessageRule(message_rules.save)],
        "expected_latest": [Sub()],
        "base_checkpoint_id": [CHECKPOINT_ID],
        "delta": [Sub()],
        "writes": [Count("max_writes"), Each(Sub())],
        "ttl": [TTL],
        "save_id": [Sub()],
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
        "page_size": [PAGE_SIZE],
        "session_id_prefix": [Id("max_session_id_bytes")],
        "labels": [Count("max_labels"), Entries(Id(255), Id(255))],
        "updated_since": [Time()],
        "updated_before": [Time()],
    },
    "lockstitch.v1.ListCheckpointsRequest": {
        "": [MessageRule(message_rules.list_checkpoints), MessageRule(message_rules.metadata)],
        "page_size": [PAGE_SIZE],
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
    "lockstitch.v1.RetentionPolicy": {"max_age": [TTL]},
    "lockstitch.v1.CheckpointRef": {
        "namespace": [NAMESPACE],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
    },
    "lockstitch.v1.MetadataFilter": {
        "": [MessageRule(message_rules.entries)],
        "entries": [Count("max_metadata_entries", 1), Entries(Text(255), Json())],
    },
    "lockstitch.v1.GetSessionRequest": {"session_id": [SESSION_ID]},
    "lockstitch.v1.UpdateSessionRequest": {
        "session_id": [SESSION_ID],
        "set_labels": LABELS,
        "remove_labels": [Count("max_labels"), Each(Id(255, 1))],
        "ttl": [TTL],
        "retention": [Sub()],
        "": [MessageRule(message_rules.update_session)],
    },
    "lockstitch.v1.DeleteSessionsRequest": {
        "session_ids": [Count("max_session_ids", 1), Each(SESSION_ID)],
        "tombstone": [TOMBSTONE],
    },
    "lockstitch.v1.DeleteCheckpointsRequest": {
        "session_id": [Id("max_session_id_bytes")],
        "which": [OneOf()],
        "after": [Sub()],
        "metadata": [Sub()],
        "": [MessageRule(message_rules.delete_checkpoints)],
    },
    "lockstitch.v1.CopySessionRequest": {
        "source_session_id": [SESSION_ID],
        "target_session_id": [SESSION_ID],
        "at": [Sub()],
        "labels": LABELS,
        "ttl": [TTL],
        "": [MessageRule(message_rules.copy_session)],
    },
    "lockstitch.v1.PruneSessionsRequest": {
        "session_ids": [Count("max_session_ids"), Each(SESSION_ID)],
        "retention": [Sub()],
        "page_size": [PAGE_SIZE],
    },
    "lockstitch.v1.WatchSessionRequest": {"session_id": [SESSION_ID], "heartbeat": [HEARTBEAT]},
    "lockstitch.v1.AcquireLeaseRequest": {
        "session_id": [SESSION_ID],
        "holder": [Id(255, 1)],
        "acquisition_id": [Id(64)],
        "ttl": [LEASE_TTL],
    },
    "lockstitch.v1.RenewLeaseRequest": {
        "session_id": [SESSION_ID],
        "lease_token": [NonZero()],
        "ttl": [LEASE_TTL],
    },
    "lockstitch.v1.ReleaseLeaseRequest": {"session_id": [SESSION_ID], "lease_token": [NonZero()]},
    "lockstitch.v1.BreakLeaseRequest": {"session_id": [SESSION_ID], "acquired_at": [Time()]},
    "lockstitch.v1.WalkAncestorsRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [CHECKPOINT_ID],
        "channels": CHANNELS,
        "write_channels": CHANNELS,
    },
}
