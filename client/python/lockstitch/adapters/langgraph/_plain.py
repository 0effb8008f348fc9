"""LangChain's messages as what their fields hold, where those hold plain values only."""

from collections.abc import Mapping, Sequence
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

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


def is_known(serde: SerializerProtocol) -> bool:
    """Whether it is LangGraph's own serializer. Of others it is not known that they do the same the same way."""
    return type(serde) is JsonPlusSerializer


def is_message(kind: type) -> bool:
    """Whether a class is one of LangChain's messages."""
    return kind.__module__.startswith(_MESSAGES)


def fields_of(message: Any) -> bytes | None:
    """What a message holds, beside its class; None where that is more than plain values."""
    try:
        return ormsgpack.packb([message.__dict__, message.__pydantic_extra__], None, _PLAIN_ONLY)
    except (AttributeError, ormsgpack.MsgpackEncodeError):
        return None


def fields_of_all(messages: Sequence[Any]) -> bytes | None:
    """What messages hold, one after the other; those of a list that goes on begin with the same bytes."""
    try:
        parts = [part for message in messages for part in (message.__dict__, message.__pydantic_extra__)]
        packed = ormsgpack.packb(parts, None, _PLAIN_ONLY)
    except (AttributeError, ormsgpack.MsgpackEncodeError):
        return None
    return packed[1 if len(parts) < 16 else 3 if len(parts) < 65536 else 5 :]  # without how many there are


def values_of(fields: bytes) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """The fields, and those that the class does not have, created again."""
    values, extra = ormsgpack.unpackb(fields)
    return values, extra
