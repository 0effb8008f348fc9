"""Small helpers to write messages of the contract by hand."""

import json

from lockstitch.v1.checkpoint_pb2 import Endpoint, Message, NodeKind

START = NodeKind(endpoint=Endpoint.ENDPOINT_START)
"""Where a graph begins."""

END = NodeKind(endpoint=Endpoint.ENDPOINT_END)
"""Where a graph ends."""


def node(name: str) -> NodeKind:
    """A node of the user's. `name`: 0 to 512 bytes."""
    return NodeKind(custom=name)


def message(role: str, content: str) -> Message:
    """One message of a conversation. `role`: "user", "assistant", "system", "tool" or any other string."""
    return Message(role=role, content=content)


def json_text(value: object) -> str:
    """A Python value as the JSON text that `extra`, `metadata`, `details` and `context` hold.

    Raises TypeError for what JSON has no words for, and ValueError for NaN and infinities, which are not JSON.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_value(text: str) -> object:
    """The Python value of a JSON text; integers of any size stay exact. Raises ValueError for what is not JSON."""
    return json.loads(text)
