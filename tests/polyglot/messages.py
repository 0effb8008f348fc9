"""Between what a scenario writes and what goes over the protocol: messages in protobuf's JSON form, and in base64."""

import base64
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message as ProtobufMessage

from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from lockstitch.v1.session_service_pb2 import GetSessionResponse, WatchSessionResponse

MESSAGES: dict[str, type[ProtobufMessage]] = {
    "checkpoint": Checkpoint,
    "writes": PendingWrite,
    "pending_writes": PendingWrite,
    "sessions": SessionSummary,
    "session": GetSessionResponse,
    "events": WatchSessionResponse,
}
"""What message, or list of messages, stands under a key of arguments and answers."""

ARGUMENTS = {"checkpoint", "writes"}
DECIMALS = {"step", "min_step", "max_step", "lease_token", "concurrency_limit", "created_at"}
"""Arguments of 64 bits, which a scenario may write as numbers."""


def encode(message: ProtobufMessage) -> str:
    """A message as the protocol has it."""
    return base64.b64encode(message.SerializeToString()).decode("ascii")


def decode(key: str, data: str) -> ProtobufMessage:
    """The message that an answer holds under a key."""
    return MESSAGES[key].FromString(base64.b64decode(data, validate=True))


def exactly(message: ProtobufMessage) -> bytes:
    """A message as bytes, unknown fields and all, alike for equal ones."""
    return message.SerializeToString(deterministic=True)


def to_message(key: str, value: Any) -> ProtobufMessage:
    """A message that a scenario has written under a key."""
    if isinstance(value, ProtobufMessage):
        return value
    return json_format.ParseDict(value, MESSAGES[key]())


def to_arguments(value: Any, key: str = "") -> Any:
    """Arguments as the protocol has them. A string in a message's place is one that an answer held."""
    if key in ARGUMENTS and not isinstance(value, list | str | None):
        return encode(to_message(key, value))
    if isinstance(value, list):
        return [to_arguments(item, key) for item in value]
    if isinstance(value, dict):
        within = "seen" if key == "seen" else ""
        return {
            name: to_arguments(item, "step" if within and name == "version" else name) for name, item in value.items()
        }
    if isinstance(value, int) and not isinstance(value, bool) and key in DECIMALS:
        return str(value)
    return value
