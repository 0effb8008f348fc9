"""What the crate itself read back from the fixture, and our checkpoints in the same words."""

import json
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1 import checkpoint_pb2 as pb
from tests.support.paths import ROOT

FIXTURE = ROOT / "tests" / "fixtures" / "weavegraph"
DATABASE = FIXTURE / "weavegraph.db"
POSTGRES_SCHEMA = FIXTURE / "postgres_schema.sql"
EXPECTED: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text())
STEPS = sum(len(session["steps"]) for session in EXPECTED["sessions"].values())
# What JSONB cannot hold.
NOT_IN_POSTGRES = "sqlite-only"


def expected_steps(session_id: str) -> list[dict[str, Any]]:
    """The steps, lowest first, with the limit that only the session knows."""
    session = EXPECTED["sessions"][session_id]
    limit = session["latest"]["concurrency_limit"]
    return [_normal(step) | {"concurrency_limit": limit} for step in session["steps"]]


def _normal(step: dict[str, Any]) -> dict[str, Any]:
    step = json.loads(json.dumps(step))
    step["created_at"] = _instant(step["created_at"])
    for event in step["state"]["errors"]["items"]:
        event["when"] = _instant(event["when"])
    return step


def _instant(text: str) -> int:
    when = Timestamp()
    when.FromJsonString(text)
    return when.ToNanoseconds()


def in_words_of_the_crate(checkpoint: pb.Checkpoint) -> dict[str, Any]:
    """A checkpoint as expected.json has it."""
    return {
        "session_id": checkpoint.session_id,
        "step": checkpoint.step,
        "state": _state(checkpoint.state),
        "frontier": [_node(node) for node in checkpoint.frontier],
        "versions_seen": {node: dict(seen.versions) for node, seen in checkpoint.versions_seen.items()},
        "concurrency_limit": checkpoint.concurrency_limit,
        "created_at": checkpoint.created_at.ToNanoseconds(),
        "ran_nodes": [_node(node) for node in checkpoint.ran_nodes],
        "skipped_nodes": [_node(node) for node in checkpoint.skipped_nodes],
        "updated_channels": list(checkpoint.updated_channels),
    }


def _node(node: pb.NodeKind) -> str:
    return {1: "Start", 2: "End"}[node.endpoint] if node.HasField("endpoint") else f"Custom:{node.custom}"


def _state(state: pb.VersionedState) -> dict[str, Any]:
    messages = [{"role": item.role, "content": item.content} for item in state.messages.items]
    extra = {key: json.loads(text) for key, text in state.extra.entries.items()}
    errors = [_event(event) for event in state.errors.items]
    return {
        "messages": {"version": state.messages.version, "items": messages},
        "extra": {"version": state.extra.version, "map": extra},
        "errors": {"version": state.errors.version, "items": errors},
    }


def _event(event: pb.ErrorEvent) -> dict[str, Any]:
    kind = event.scope.WhichOneof("scope") or ""
    inner = getattr(event.scope, kind)
    return {
        "when": event.when.ToNanoseconds(),
        "scope": {"scope": kind, **{field.name: getattr(inner, field.name) for field in inner.DESCRIPTOR.fields}},
        "error": _error(event.error),
        "tags": list(event.tags),
        "context": json.loads(event.context),
    }


def _error(error: pb.WeaveError) -> dict[str, Any]:
    cause = {"cause": _error(error.cause)} if error.HasField("cause") else {}
    return {"message": error.message, "details": json.loads(error.details), **cause}
