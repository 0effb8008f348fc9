"""Messages as a chat: who said what, which tools were called, and what they answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lockstitch.inspect._instance import Instance
from lockstitch.inspect._values import MAX_BYTES, Plain, items
from lockstitch.v1.checkpoint_pb2 import CustomChannel, VersionedState

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "function": "tool", "developer": "system"}
_CHAT_CHANNEL = "messages"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. result: what the tool answered, joined by the id of the call; None: nothing yet."""

    name: str
    arguments: Plain
    id: str = ""
    result: "ChatMessage | None" = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message. role: user, assistant, system, tool, or any other text. content: its text parts, one below the other.

    value: the whole message as it was stored.
    """

    role: str
    content: str
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str = ""
    name: str = ""
    value: Plain = field(default=None, repr=False)


def chat(state: VersionedState, channel: str = _CHAT_CHANNEL, *, max_bytes: int = MAX_BYTES) -> list[ChatMessage]:
    """The messages of a state: of the `messages` channel, else of a custom channel with chat messages in it.

    Messages of LangChain, of OpenAI's and Anthropic's formats are understood, and pairs of role and text.
    max_bytes: a larger value is not decoded, and no message.
    """
    if state.HasField("messages") and channel == _CHAT_CHANNEL:
        return [ChatMessage(item.role, item.content) for item in state.messages.items]
    if channel not in state.custom:
        return []
    return chat_of(_items(state.custom[channel], max_bytes))


def chat_of(values: Iterable[Plain]) -> list[ChatMessage]:
    """The messages among some values.

    >>> [found.content for found in chat_of([{"role": "user", "content": "hi"}, 5])]
    ['hi']
    """
    return _joined([found for value in values if (found := message(value)) is not None])


def message(value: Plain) -> ChatMessage | None:
    """A message; None: it is none."""
    fields: Any = value.value if isinstance(value, Instance) else value
    if isinstance(fields, list | tuple) and len(fields) == 2 and all(isinstance(part, str) for part in fields):
        return ChatMessage(_role(fields[0]), fields[1], value=value)
    if not isinstance(fields, Mapping) or "content" not in fields:
        return None
    role = fields.get("type") if isinstance(fields.get("type"), str) else fields.get("role")
    role = fields.get("role", role) if role == "chat" else role
    if not isinstance(role, str):
        return None
    return ChatMessage(
        _role(role),
        _text(fields["content"]),
        tuple(_tool_calls(fields)),
        str(fields.get("tool_call_id") or ""),
        str(fields.get("name") or ""),
        value,
    )


def _items(channel: CustomChannel, max_bytes: int) -> Iterable[Plain]:
    for found in items(channel, max_bytes=max_bytes):
        is_list = channel.HasField("blob") and isinstance(found.value, list)
        yield from found.value if is_list else [found.value]


def _role(text: str) -> str:
    return _ROLES.get(text, text)


def _text(content: Any) -> str:
    """The text of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _tool_calls(fields: Mapping[Any, Any]) -> Iterable[ToolCall]:
    calls = fields.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, Mapping):
            continue
        function = call.get("function")  # OpenAI's format has the name and the arguments, as text, one level deeper
        inner = function if isinstance(function, Mapping) else call
        arguments = inner.get("args", inner.get("arguments"))
        yield ToolCall(str(inner.get("name") or ""), arguments, str(call.get("id") or ""))
    content = fields.get("content")
    for part in content if isinstance(content, list) and not calls else ():
        if isinstance(part, Mapping) and part.get("type") == "tool_use":
            yield ToolCall(str(part.get("name") or ""), part.get("input"), str(part.get("id") or ""))


def _joined(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The same, with each tool call joined with its result; the results stay where they are, too."""
    results = {found.tool_call_id: found for found in messages if found.role == "tool" and found.tool_call_id}
    return [
        replace(found, tool_calls=tuple(replace(call, result=results.get(call.id)) for call in found.tool_calls))
        if found.tool_calls
        else found
        for found in messages
    ]
