"""State that programs in other languages read: JSON wherever JSON holds a value exactly."""

from typing import Any

from langchain_core.load import dumpd
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.adapters.langgraph._metadata import exact_json, is_exact

JSON = "json"
# LangChain's mark of an object of its own, which no plain value may bear.
_MARK = "lc"
_SCALARS = {float, int, str, bool, type(None)}


class JsonSerializer(JsonPlusSerializer):
    """Dumps plain values and LangChain's messages as JSON (type "json"), anything else as JsonPlusSerializer does.

    Plain values are those that JSON gives back exactly: null, booleans, strings, integers, finite floats, lists, and
    dicts with strings as keys. A message is the object that LangChain's own `dumpd` makes:
    `{"lc": 1, "type": "constructor", "id": [..., "HumanMessage"], "kwargs": {"content": ..., ...}}`.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The type and the bytes of a value."""
        text = _message_json(obj) if isinstance(obj, BaseMessage) else _plain_json(obj)
        if text is None or obj is None:
            return super().dumps_typed(obj)
        return JSON, text.encode()


def _plain_json(value: object) -> str | None:
    return None if _has_mark(value) else exact_json(value)


def _message_json(message: BaseMessage) -> str | None:
    """None: it is of a class that LangChain does not restore, or holds what JSON has no exact words for."""
    fields = message.model_dump()
    if type(message).__module__.split(".")[0] != "langchain_core" or not is_exact(fields) or _has_mark(fields):
        return None
    return exact_json(dumpd(message))


def _has_mark(value: object) -> bool:
    if isinstance(value, dict):
        return _MARK in value or any(map(_has_mark, value.values()))
    if not isinstance(value, list) or set(map(type, value)) <= _SCALARS:
        return False
    return any(map(_has_mark, value))
