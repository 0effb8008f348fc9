"""Small helpers to write messages of the contract by hand."""

from lockstitch import _json
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

    The text gives back an equal value, or this raises: TypeError for what JSON has no words for (other keys than
    text, tuples, bytes, objects), and ValueError for NaN, infinities and ill-formed text. The message names the path.

    >>> json_text({"steps": ["cut", "sew"]})
    '{"steps":["cut","sew"]}'
    """
    return _json.text(value)


def json_value(text: str) -> object:
    """The Python value of a JSON text; integers of any size stay exact.

    Raises ValueError for what is not JSON, and, with the path, for what would be lost: a key that stands twice in an
    object, and numbers that a float cannot hold.

    >>> json_value('{"steps": ["cut", "sew"]}')
    {'steps': ['cut', 'sew']}
    """
    return _json.value(text)
