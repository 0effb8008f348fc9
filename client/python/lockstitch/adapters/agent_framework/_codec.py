"""Checkpoints of a workflow as the contract's, and back.

A checkpoint's id begins with its time, so that the latest by id is the latest by time; metadata has the workflow's
own id of it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from agent_framework import WorkflowCheckpoint, WorkflowCheckpointException
from agent_framework._workflows._checkpoint_encoding import decode_checkpoint_value, encode_checkpoint_value

from lockstitch.adapters import _tree
from lockstitch.v1.checkpoint_pb2 import Checkpoint, TypedBlob

HEADER = "lockstitch.agent-framework"
"""The type of the header of such a checkpoint."""
ID = "checkpoint_id"
"""The metadata entry that holds the workflow's own id of a checkpoint."""
ID_BYTES = 96
GRAPH = "graph_signature_hash"
"""It has a channel of its own, since all checkpoints of a workflow have the same."""


def stored_id(checkpoint: WorkflowCheckpoint) -> str:
    """The id of a checkpoint on the server. Raises WorkflowCheckpointException.

    >>> stored_id(checkpoint)
    '20261130T120000.000000Z-2f1c0c1e-3a77-4d52-9a52-4a2e3c0fd3a1'
    """
    if not 0 < len(checkpoint.checkpoint_id.encode()) <= ID_BYTES:
        raise WorkflowCheckpointException(
            f"checkpoint_id is {checkpoint.checkpoint_id!r}: it must have 1 to {ID_BYTES} bytes"
        )
    try:
        time = datetime.fromisoformat(checkpoint.timestamp)
    except ValueError as error:
        raise WorkflowCheckpointException(f"timestamp is {checkpoint.timestamp!r}, not an ISO 8601 time") from error
    utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S.%f}Z-{checkpoint.checkpoint_id}"


def search(checkpoint_id: str) -> Mapping[str, str]:
    """The metadata entries by which a checkpoint is found."""
    return {ID: json.dumps(checkpoint_id)}


def own_id(message: Checkpoint) -> str:
    """The workflow's own id of a checkpoint."""
    found: str = json.loads(message.metadata[ID])
    return found


def to_message(
    session_id: str, checkpoint: WorkflowCheckpoint, parent_id: str, allowed_types: frozenset[str]
) -> Checkpoint:
    """A checkpoint as a message. Raises WorkflowCheckpointException if it could not be loaded again."""
    try:
        encoded = encode_checkpoint_value(checkpoint.to_dict())
        decode_checkpoint_value(encoded, allowed_types=allowed_types)
    except WorkflowCheckpointException:
        raise
    except Exception as error:  # whatever the values of a workflow raise when they are pickled
        raise WorkflowCheckpointException(
            f"checkpoint {checkpoint.checkpoint_id!r} is not saved: it cannot be encoded and decoded: {error}"
        ) from error
    message = Checkpoint(
        session_id=session_id,
        namespace=checkpoint.workflow_name,
        checkpoint_id=stored_id(checkpoint),
        parent_id=parent_id,
        step=max(checkpoint.iteration_count, 0),
        metadata=search(checkpoint.checkpoint_id),
    )
    elsewhere = _elsewhere(message)
    own = {key: value for key, value in encoded.items() if elsewhere.get(key) != value}
    graph = own.pop(GRAPH)
    rest = _tree.split(own, message.state)
    assert isinstance(rest, dict), "a tree without a name stays a dict"
    rest[GRAPH] = _tree.apart(graph, message.state, f"/{GRAPH}")
    message.header.CopyFrom(TypedBlob(type=HEADER, data=_tree.text(rest)))
    return message


def from_message(message: Checkpoint, allowed_types: frozenset[str]) -> WorkflowCheckpoint:
    """The checkpoint of a message. Raises WorkflowCheckpointException."""
    if message.header.type != HEADER:
        raise WorkflowCheckpointException(
            f"checkpoint {message.checkpoint_id!r} of session {message.session_id!r} is not one of a workflow"
        )
    try:
        rest = _tree.join(json.loads(message.header.data), message.state.custom)
        assert isinstance(rest, dict), "the tree of a checkpoint is a dict"
        encoded = {**_elsewhere(message), **rest}
    except (KeyError, ValueError) as error:
        raise WorkflowCheckpointException(
            f"checkpoint {message.checkpoint_id!r} of session {message.session_id!r} cannot be read: {error!r}"
        ) from error
    return WorkflowCheckpoint.from_dict(decode_checkpoint_value(encoded, allowed_types=allowed_types))


def _elsewhere(message: Checkpoint) -> dict[str, object]:
    """Fields of a checkpoint that the message has outside its header."""
    previous = message.parent_id.partition("Z-")[2]
    fields: dict[str, object] = {
        "workflow_name": message.namespace,
        "checkpoint_id": own_id(message),
        "iteration_count": message.step,
    }
    return {**fields, "previous_checkpoint_id": previous} if previous else fields
