"""The contract's values as plain data."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message as Protobuf

from lockstitch.inspect._progress import names
from lockstitch.inspect._values import MAX_BYTES, Plain, decode, items, read_json
from lockstitch.v1.checkpoint_pb2 import (
    BlobList,
    Checkpoint,
    CustomChannel,
    ErrorEvent,
    ErrorScope,
    Message,
    NodeKind,
    TypedBlob,
    WeaveError,
)

MAX_CAUSES = 100
"""Causes of an error that are followed."""


def to_plain(value: Any, max_bytes: int = MAX_BYTES) -> tuple[Plain, str]:
    """A value of a checkpoint as plain data, and why a blob in it could not be decoded ("": all were).

    >>> to_plain(TypedBlob(type="json", data=b"[1]"))
    ([1], '')
    """
    match value:
        case TypedBlob():
            found = decode(value, max_bytes=max_bytes)
            return found.value, found.problem
        case BlobList():
            found_items = list(items(CustomChannel(list=value), max_bytes=max_bytes))
            return [item.value for item in found_items], next(filter(None, (item.problem for item in found_items)), "")
        case Message():
            return {"role": value.role, "content": value.content}, ""
        case ErrorEvent():
            return _error_event(value), ""
        case Protobuf() | None:
            return None, ""
        case str() | bytes() | int():
            return value, ""
        case Iterable():
            return [names([item])[0] if isinstance(item, NodeKind) else item for item in value], ""
    return value, ""


def plain_state(checkpoint: Checkpoint, *, max_bytes: int = MAX_BYTES) -> dict[str, Plain]:
    """The state as plain data, by channel: "messages", "errors", "extra", and "custom/<name>".

    >>> plain_state(Checkpoint(state={"extra": {"entries": {"n": "1"}}}))
    {'extra': {'n': 1}}
    """
    state = checkpoint.state
    found: dict[str, Plain] = {}
    for name, channel in (("messages", state.messages), ("errors", state.errors)):
        if state.HasField(name):  # type: ignore[arg-type]  # mypy does not see that these are literals
            found[name] = [to_plain(item)[0] for item in channel.items]
    if state.HasField("extra"):
        found["extra"] = {key: read_json(state.extra.entries[key]) for key in sorted(state.extra.entries)}
    for name in sorted(state.custom):
        kind = state.custom[name].WhichOneof("value")
        found[f"custom/{name}"] = to_plain(getattr(state.custom[name], kind), max_bytes)[0] if kind else None
    return found


def _error_event(event: ErrorEvent) -> Plain:
    return {
        "when": event.when.ToJsonString() if event.HasField("when") else None,
        "scope": _scope(event.scope),
        **_error(event.error, MAX_CAUSES),
        "tags": list(event.tags),
        "context": read_json(event.context) if event.context else None,
    }


def _scope(scope: ErrorScope) -> Plain:
    kind = scope.WhichOneof("scope")
    if kind is None:
        return None
    inner = getattr(scope, kind)
    return {"scope": kind, **{field.name: value for field, value in inner.ListFields()}}


def _error(error: WeaveError, causes: int) -> dict[str, Plain]:
    found: dict[str, Plain] = {"message": error.message}
    if error.details:
        found["details"] = read_json(error.details)
    if error.HasField("cause") and causes:
        found["cause"] = _error(error.cause, causes - 1)
    return found
