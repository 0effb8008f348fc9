"""LangGraph's own classes as JSON, so that LangGraph.js reads them: sends and interrupts are plain objects there.

The channel says where they are. Only `serde="json"` shares them; the other serializers write Python's classes.
"""

from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import INTERRUPT, TASKS

from lockstitch.adapters.langgraph._json import JsonSerializer

_NODE, _ARGS, _VALUE, _ID = "node", "args", "value", "id"


def outgoing(serde: SerializerProtocol, channel: str, value: Any) -> Any:
    """A value to dump: plain data in place of sends and interrupts."""
    if channel not in (TASKS, INTERRUPT) or not isinstance(serde, JsonSerializer):
        return value
    plain = _send_data if channel == TASKS else _interrupt_data
    return [plain(item) for item in value] if isinstance(value, list | tuple) else plain(value)


def incoming(serde: SerializerProtocol, channel: str, value: Any) -> Any:
    """What a value was before `outgoing`, or is in LangGraph.js."""
    if channel not in (TASKS, INTERRUPT) or not isinstance(serde, JsonSerializer):
        return value
    made = _send if channel == TASKS else _interrupt
    return [made(item) for item in value] if isinstance(value, list) else made(value)


def _send_data(value: Any) -> Any:
    if type(value).__name__ != "Send" or getattr(value, "timeout", None) is not None:
        return value
    return {_NODE: value.node, _ARGS: value.arg}


def _interrupt_data(value: Any) -> Any:
    if type(value).__name__ != "Interrupt" or getattr(value, "response_schema", None) is not None:
        return value
    return {_VALUE: value.value, _ID: value.id}


def _send(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(_NODE), str) or _ARGS not in value:
        return value
    from langgraph.types import Send

    return Send(value[_NODE], value[_ARGS])


def _interrupt(value: Any) -> Any:
    if not isinstance(value, dict) or _VALUE not in value:
        return value
    from langgraph.types import Interrupt

    return Interrupt(value[_VALUE], **({_ID: value[_ID]} if _ID in value else {}))
