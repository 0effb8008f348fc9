"""The contract's messages as JSON for programs: complete, and exact where JSON itself is.

Fields have the contract's names. JSON texts stand there as the values they are, digit for digit; 64-bit integers are
numbers; times are RFC 3339; nodes are text (`Start`, `End`, `Custom:<name>`); bytes are base64.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import orjson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1.checkpoint_pb2 import NodeKind
from lockstitch_server.importers.weavegraph import node_text

# A field's descriptor, of which there are two classes: in Python and in C.
Field = Any

_JSON_TEXTS = {
    "lockstitch.v1.ExtrasChannel.entries",
    "lockstitch.v1.Checkpoint.metadata",
    "lockstitch.v1.WeaveError.details",
    "lockstitch.v1.ErrorEvent.context",
}


class JsonText(str):
    """A text that is JSON."""

    __slots__ = ()


def encode(value: object) -> str:
    """A value on one line."""
    return orjson.dumps(value, default=_other, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


def plain(message: Message) -> dict[str, Any]:
    """A message as a mapping that `encode` takes. What is not set is null, but of a oneof only what is set is there."""
    return {field.name: _value(field, message) for field in message.DESCRIPTOR.fields if _is_said(field, message)}


def _is_said(field: Field, message: Message) -> bool:
    if field.containing_oneof is not None:
        return bool(message.HasField(field.name))
    return field.full_name not in _JSON_TEXTS or getattr(message, field.name) != ""


def _value(field: Field, message: Message) -> Any:
    value = getattr(message, field.name)
    if _is_map(field):
        wrap = JsonText if field.full_name in _JSON_TEXTS else _same
        return {str(key): wrap(value[key]) for key in sorted(value)}
    if field.is_repeated:
        return list(value)
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return JsonText(value) if field.full_name in _JSON_TEXTS else value


def _same(value: Any) -> Any:
    return value


def _is_map(field: Field) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _other(value: object) -> Any:
    """What orjson asks about: everything that is not plain Python."""
    match value:
        case JsonText():
            # White space outside of strings is all that a JSON text can have of line ends.
            return orjson.Fragment(value.replace("\r", " ").replace("\n", " "))
        case Timestamp():
            return value.ToJsonString()
        case NodeKind():
            return node_text(value)
        case Message():
            return plain(value)
        case bytes():
            return b64encode(value).decode()
        case Iterable():
            return list(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
