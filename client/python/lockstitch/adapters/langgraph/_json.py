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

    Messages may stand in lists and dicts, too. Plain values are those that JSON gives back exactly: null, booleans,
    strings, integers, finite floats, lists, and dicts with strings as keys. A message is the object that LangChain's
    own `dumpd` makes:
    `{"lc": 1, "type": "constructor", "id": [..., "HumanMessage"], "kwargs": {"content": ..., ...}}`.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The type and the bytes of a value."""
        text = None if obj is None else _plain_json(obj) or _messages_json(obj)
        if text is None:
            return super().dumps_typed(obj)
        return JSON, text.encode()


class _NotJson(Exception):
    """A value has no exact words in JSON."""


def _plain_json(value: object) -> str | None:
    return None if _has_mark(value) else exact_json(value)


def _messages_json(value: object) -> str | None:
    """A message, or messages in lists and dicts. None: JSON has no exact words for it."""
    try:
        return exact_json(_with_messages(value))
    except (_NotJson, RecursionError):
        return None


def _with_messages(value: object) -> object:
    """The same with LangChain's objects in place of messages. Raises _NotJson."""
    if isinstance(value, BaseMessage):
        return _message_data(value)
    if type(value) is list:
        return [_with_messages(item) for item in value]
    if type(value) is dict:
        if _MARK in value:
            raise _NotJson
        return {key: _with_messages(item) for key, item in value.items()}
    return value


def _message_data(message: BaseMessage) -> object:
    """Raises _NotJson for a class that LangChain does not restore, and for what JSON has no exact words for."""
    fields = message.model_dump()
    if type(message).__module__.split(".")[0] != "langchain_core" or not is_exact(fields) or _has_mark(fields):
        raise _NotJson
    return dumpd(message)


def _has_mark(value: object) -> bool:
    if isinstance(value, dict):
        return _MARK in value or any(map(_has_mark, value.values()))
    if not isinstance(value, list) or set(map(type, value)) <= _SCALARS:
        return False
    return any(map(_has_mark, value))
