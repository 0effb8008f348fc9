"""Messages as a chat: bubbles, with a card for each tool call and its result."""

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch.inspect import ChatMessage, Instance, Plain, ToolCall, chat_of, decode, is_chunk, message, to_json
from lockstitch.v1.checkpoint_pb2 import CustomChannel, VersionedState
from lockstitch_ui.views.tree import MAX_BYTES, Budget, Node, tree

MAX_MESSAGES = 40
"""Messages of a page. Links lead to earlier ones."""
MAX_MESSAGE_TEXT = 6000
"""Characters of a message."""
MAX_CALLS = 20
ROLES = ("user", "assistant", "system", "tool")
MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Call:
    """A card: the call of a tool. result: what it answered; None: nothing yet."""

    name: str
    id: str
    arguments: Node
    result: str | None
    result_cut: int
    is_result_new: bool


@dataclass(frozen=True, slots=True)
class Bubble:
    """A message. style: one of ROLES, or "other". cut: characters that are not shown. pointer: for a link to it."""

    index: int
    role: str
    style: str
    name: str
    text: str
    cut: int
    calls: Sequence[Call]
    more_calls: int
    answers: str
    is_new: bool
    pointer: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A window of a conversation: messages from `start` on. total: of the whole conversation."""

    bubbles: Sequence[Bubble]
    start: int
    total: int

    @property
    def earlier(self) -> int:
        """Where the page before begins."""
        return max(0, self.start - MAX_MESSAGES)

    @property
    def end(self) -> int:
        """Where the page after begins."""
        return min(self.total, self.start + MAX_MESSAGES)


class Source(NamedTuple):
    """A channel that messages come from: how many it has, and some of them."""

    total: int
    some: Callable[[int, int], list[ChatMessage]]


def source(state: VersionedState | None, name: str) -> Source | None:
    """The messages of a channel; None: it is no conversation.

    A custom channel is one if it is called `messages`, or if its first item is a message of LangChain's.
    """
    if state is None:
        return None
    if name == MESSAGES and state.HasField("messages"):
        found = state.messages.items
        return Source(
            len(found), lambda first, end: [ChatMessage(each.role, each.content) for each in found[first:end]]
        )
    if name not in state.custom or state.custom[name].WhichOneof("value") is None:
        return None
    if name != MESSAGES and state.custom[name].HasField("blob"):
        return None  # a tree shows it as well, and need not decode it twice
    return _custom_source(state.custom[name], name)


def _custom_source(channel: CustomChannel, name: str) -> Source | None:
    if channel.HasField("list"):
        blobs = channel.list.items
        if not blobs or any(map(is_chunk, blobs)) or not _is_message(decode(blobs[0]).value, name):
            return None
        return Source(len(blobs), lambda first, end: chat_of(decode(blob).value for blob in blobs[first:end]))
    values = decode(channel.blob, max_bytes=MAX_BYTES).value
    if not isinstance(values, list) or not values or not _is_message(values[0], name):
        return None
    return Source(len(values), lambda first, end: chat_of(values[first:end]))


def _is_message(value: Plain, name: str) -> bool:
    is_langchain = isinstance(value, Instance) and value.type.endswith(("Message", "MessageChunk"))
    return (name == MESSAGES or is_langchain) and message(value) is not None


def conversation(found: Source, before: Source | None, budget: Budget, start: int | None = None) -> Chat:
    """The chat of a channel.

    before: that of the parent, which tells what is new; None: that is not known. start: the first message shown; None:
    the last ones are.
    """
    total = found.total
    first = max(0, total - MAX_MESSAGES) if start is None else max(0, min(start, total - 1))
    shown = found.some(first, first + MAX_MESSAGES)
    known = _identities(before, first)
    fresh = {number for number, each in enumerate(shown) if known is not None and _identity(each) not in known}
    answered = {call.id for each in shown for call in each.tool_calls if call.result is not None}
    fresh_answers = {each.tool_call_id for number, each in enumerate(shown) if number in fresh}
    bubbles = [
        _bubble(first + number, each, budget, is_new=number in fresh, fresh_answers=fresh_answers)
        for number, each in enumerate(shown)
        if not (each.role == "tool" and each.tool_call_id in answered)  # its text stands in the card of the call
    ]
    return Chat(bubbles, first, total)


def _identities(before: Source | None, first: int) -> AbstractSet[str] | None:
    """The messages that the parent had about the same place: lists of messages grow, and are trimmed at times."""
    if before is None:
        return None
    return {_identity(each) for each in before.some(max(0, first - MAX_MESSAGES), first + 2 * MAX_MESSAGES)}


def _identity(each: ChatMessage) -> str:
    return f"{each.role} {each.content}" if each.value is None else to_json(each.value)


def _bubble(index: int, each: ChatMessage, budget: Budget, *, is_new: bool, fresh_answers: AbstractSet[str]) -> Bubble:
    text = budget.take_text(each.content, MAX_MESSAGE_TEXT)
    calls = [_call(call, budget, fresh_answers) for call in each.tool_calls[:MAX_CALLS]]
    return Bubble(
        index,
        each.role,
        each.role if each.role in ROLES else "other",
        each.name,
        text,
        len(each.content) - len(text),
        calls,
        len(each.tool_calls) - len(calls),
        each.tool_call_id,
        is_new,
        f"/{index}",
    )


def _call(call: ToolCall, budget: Budget, fresh_answers: AbstractSet[str]) -> Call:
    content = None if call.result is None else call.result.content
    shown = None if content is None else budget.take_text(content, MAX_MESSAGE_TEXT)
    cut = len(content) - len(shown) if content is not None and shown is not None else 0
    arguments = tree(_arguments(call.arguments), budget, label="arguments")
    return Call(call.name, call.id, arguments, shown, cut, call.id in fresh_answers)


def _arguments(value: Plain) -> Plain:
    """OpenAI's format has them as JSON text."""
    if not isinstance(value, str) or len(value) > 100_000:
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, Mapping | list) else value
