"""Messages that have been loaded before are created again from what they held, without asking the serializer.

What a blob is loaded as follows from its bytes. Every load gives objects of its own, which the graph may change; making
them from their fields takes a fifth of the time that the serializer takes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch.adapters.langgraph._plain import fields_of, is_known, is_message, values_of
from lockstitch.adapters.langgraph._recent import MOST_BYTES, Recent
from lockstitch.v1.checkpoint_pb2 import TypedBlob

Load = Callable[[SerializerProtocol, TypedBlob], Any]
"""Makes a value of what a serializer has dumped. Raises what the serializer raises."""

_set = object.__setattr__  # as pydantic does for pickle; its own `__setattr__` validates

MOST_BYTES_EACH = 64 * 1024
"""Of larger ones the bytes are what takes time."""


def from_blob(serde: SerializerProtocol, blob: TypedBlob) -> Any:
    """The value that was dumped. Raises what the serializer raises."""
    return serde.loads_typed((blob.type, blob.data))


class _Message(NamedTuple):
    """Of what a message is made."""

    kind: Any
    fields: bytes
    fields_set: frozenset[str]

    @classmethod
    def of(cls, value: Any) -> "_Message | None":
        """None: it is no message, or one that holds more than plain values."""
        if not is_message(type(value)) or (fields := fields_of(value)) is None or value.__pydantic_private__:
            return None
        return cls(type(value), fields, frozenset(value.__pydantic_fields_set__))

    def make(self) -> Any:
        """Another one, as pickle would make it."""
        values, extra = values_of(self.fields)
        made = self.kind.__new__(self.kind)
        _set(made, "__pydantic_fields_set__", set(self.fields_set))
        _set(made, "__pydantic_extra__", extra)
        _set(made, "__pydantic_private__", None)
        _set(made, "__dict__", values)
        return made


class Revived:
    """LangChain's messages as they have been loaded: the last of them. Threads may share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        # By serializer too: each has its own list of classes that it may load.
        self._recent: Recent[tuple[SerializerProtocol, str, bytes], _Message] = Recent(most_bytes)

    def from_blob(self, serde: SerializerProtocol, blob: TypedBlob) -> Any:
        """The value that was dumped, and nobody else's. Raises what the serializer raises."""
        data = blob.data
        if not is_known(serde) or len(data) > MOST_BYTES_EACH:
            return from_blob(serde, blob)
        name = (serde, blob.type, data)
        # The fields have about as many bytes as the dump.
        found = self._recent.get(name, size := 2 * len(data))
        if found is not None:
            return found.make()
        value = from_blob(serde, blob)
        if (message := _Message.of(value)) is not None:
            self._recent.put(name, message, size)
        return value
