"""Messages that have been dumped before need not be dumped again, though every list that grows brings all of them.

What a message is dumped as follows from its class and its fields. So it is looked up by these, as bytes, and a message
that somebody has changed in place is another one. Making such bytes takes a tenth of the time that a dump takes.
"""

from collections.abc import Callable
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.v1.checkpoint_pb2 import TypedBlob

MOST_BYTES = 32 * 1024 * 1024
OVERHEAD = 500
"""What an entry takes beside its bytes, about."""

_MESSAGES = "langchain_core.messages."
# Nothing but None, booleans, numbers, text, bytes, lists, and dicts with text for keys, none of a class of its own.
_PLAIN_ONLY = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_Known = dict[tuple[type, bytes], TypedBlob]
Dump = Callable[[SerializerProtocol, Any], TypedBlob]
"""Makes a value what a serializer dumps it as. Raises what the serializer raises."""


def to_blob(serde: SerializerProtocol, value: object) -> TypedBlob:
    """A value as the serializer dumps it. Raises what the serializer raises."""
    kind, data = serde.dumps_typed(value)
    return TypedBlob(type=kind, data=bytes(data))


class Dumped:
    """How LangChain's messages have been dumped: the last of them, in 32 MiB of memory. Threads may share it.

    For LangGraph's own serializer; of others it is not known whether they dump the same the same way.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes // 2
        # The older ones are all forgotten when the newer ones have half of the room.
        self._newer: _Known = {}
        self._older: _Known = {}
        self._bytes = 0

    def to_blob(self, serde: SerializerProtocol, value: Any) -> TypedBlob:
        """A value as the serializer dumps it; not to be changed. Raises what the serializer raises."""
        kind = type(value)
        if type(serde) is not JsonPlusSerializer or not kind.__module__.startswith(_MESSAGES):
            return to_blob(serde, value)
        try:
            fields = ormsgpack.packb([value.__dict__, value.__pydantic_extra__], None, _PLAIN_ONLY)
        except (AttributeError, ormsgpack.MsgpackEncodeError):  # it holds more than plain values
            return to_blob(serde, value)
        name = (kind, fields)
        found = self._newer.get(name)
        return found if found is not None else self._put(name, self._older.get(name) or to_blob(serde, value))

    def _put(self, name: tuple[type, bytes], blob: TypedBlob) -> TypedBlob:
        size = len(name[1]) + len(blob.data) + OVERHEAD
        if size <= self._most_bytes:
            if self._bytes + size > self._most_bytes:
                self._older, self._newer, self._bytes = self._newer, {}, 0
            self._newer[name] = blob
            self._bytes += size
        return blob
