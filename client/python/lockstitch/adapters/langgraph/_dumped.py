"""Messages that have been dumped before need not be dumped again, though every list that grows brings all of them.

What a message is dumped as follows from its class and its fields. So it is looked up by these, as bytes, and a message
that somebody has changed in place is another one. Making such bytes takes a tenth of the time that a dump takes.
"""

from collections.abc import Callable
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch.adapters.langgraph._plain import fields_of, is_known, is_message
from lockstitch.adapters.langgraph._recent import MOST_BYTES, Recent
from lockstitch.v1.checkpoint_pb2 import TypedBlob

Dump = Callable[[SerializerProtocol, Any], TypedBlob]
"""Makes a value what a serializer dumps it as. Raises what the serializer raises."""


def to_blob(serde: SerializerProtocol, value: object) -> TypedBlob:
    """A value as the serializer dumps it. Raises what the serializer raises."""
    kind, data = serde.dumps_typed(value)
    return TypedBlob(type=kind, data=bytes(data))


class Dumped:
    """How LangChain's messages have been dumped: the last of them. Threads may share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._recent: Recent[tuple[type, bytes], TypedBlob] = Recent(most_bytes)

    def to_blob(self, serde: SerializerProtocol, value: Any) -> TypedBlob:
        """A value as the serializer dumps it; not to be changed. Raises what the serializer raises."""
        kind = type(value)
        fields = fields_of(value) if is_known(serde) and is_message(kind) else None
        if fields is None:
            return to_blob(serde, value)
        name = (kind, fields)
        # The dump has about as many bytes as its fields.
        found = self._recent.get(name, size := 2 * len(fields))
        if found is None:
            found = to_blob(serde, value)
            self._recent.put(name, found, size)
        return found
