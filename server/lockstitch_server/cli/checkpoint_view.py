"""One checkpoint, to be read by people."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.text import Text

from lockstitch import Loaded
from lockstitch.inspect import ChatMessage, Progress, Status, ToolCall, chat, items, to_json
from lockstitch.inspect import names as names_of
from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    CustomChannel,
    ErrorEvent,
    Message,
    PendingWrite,
    VersionedState,
    WeaveError,
)
from lockstitch_server.cli import blob_view, format, pretty, progress_view
from lockstitch_server.cli.console import Rows, heading
from lockstitch_server.cli.exact_json import JsonText
from lockstitch_server.cli.lists_view import names
from lockstitch_server.cli.output import printable

Line = tuple[str | Text, str | Text]


class Shown(NamedTuple):
    """A checkpoint, where its run stands, and the status of its session; None where it is not the session's latest."""

    loaded: Loaded
    progress: Progress
    status: Status | None


def data(shown: Shown) -> dict[str, Any]:
    """What `exact_json.encode` takes."""
    loaded = shown.loaded
    custom = loaded.checkpoint.state.custom
    channels = [name for name in sorted(custom) if custom[name].WhichOneof("value") is not None]
    return {
        "checkpoint": loaded.checkpoint,
        "pending_writes": loaded.pending_writes,
        "revision": loaded.revision,
        "checkpoint_revision": loaded.checkpoint_revision,
        "trace_id": loaded.trace_id,
        "status": progress_view.status_data(shown.status),
        "progress": progress_view.data(shown.progress),
        "chat": [_message_data(message) for message in chat(loaded.checkpoint.state, max_bytes=blob_view.MAX_BYTES)],
        "decoded": {
            "custom": {name: _channel_data(custom[name]) for name in channels},
            "pending_writes": [blob_view.as_json(write.value) for write in loaded.pending_writes],
        },
    }


def _channel_data(channel: CustomChannel) -> Any:
    values = [JsonText(to_json(item.value)) for item in items(channel, max_bytes=blob_view.MAX_BYTES)]
    return values if channel.WhichOneof("value") == "list" else values[0]


def _message_data(message: ChatMessage) -> dict[str, Any]:
    calls = [
        {"name": call.name, "arguments": JsonText(to_json(call.arguments)), "id": call.id}
        for call in message.tool_calls
    ]
    fields = {name: getattr(message, name) for name in ("role", "content", "name", "tool_call_id")}
    return {**{name: JsonText(to_json(value)) for name, value in fields.items()}, "tool_calls": calls}


def lines(shown: Shown, full: bool, trace_url: str = "") -> Iterator[RenderableType]:
    """Everything that a checkpoint holds; long texts are cut unless `full`.

    trace_url: where its trace can be looked at, with `{trace_id}` in it.
    """
    loaded, found = shown.loaded, shown.loaded.checkpoint
    yield heading(f"{printable(found.session_id)}  step {found.step}", _namespace(found))
    yield Rows([*_header(shown, full), *_trace(loaded.trace_id, trace_url)])
    interrupts, problems = shown.progress.interrupts, shown.progress.problems
    yield from _part("waiting for", "", progress_view.interrupt_lines(interrupts, full))
    if not found.state.errors.items:  # else they are among them
        yield from _part("failed", "", progress_view.problem_lines(problems, full))
    yield from _part("versions seen", "", _versions_seen(found))
    yield from _part(
        "metadata", "", [(_key(key), pretty.json_text(found.metadata[key], full)) for key in sorted(found.metadata)]
    )
    yield from _state(found.state, full)
    writes = loaded.pending_writes
    yield from _part("pending writes", str(len(writes)), [_pending_write(write, full) for write in writes])


def _namespace(found: Checkpoint) -> str:
    return f"namespace {printable(found.namespace)}" if found.namespace else ""


def _header(shown: Shown, full: bool) -> Iterator[Line]:
    now, found, progress = datetime.now(UTC), shown.loaded.checkpoint, shown.progress
    if shown.status is not None:
        yield "status", progress_view.status_line(shown.status)
    yield "id", printable(found.checkpoint_id)
    if found.parent_id:
        yield "parent", printable(found.parent_id)
    yield "created", f"{format.moment(found.created_at)} ({format.ago(found.created_at, now)})"
    yield "next", progress_view.nodes(progress.next_nodes) or format.NOTHING
    yield "ran", progress_view.nodes(progress.ran_nodes) or format.NOTHING
    if progress.done_nodes:
        yield "done", progress_view.nodes(progress.done_nodes)
    yield "skipped", progress_view.nodes(names_of(found.skipped_nodes)) or format.NOTHING
    yield "updated", names(found.updated_channels) or format.NOTHING
    if found.concurrency_limit:
        yield "at once", f"at most {format.count(found.concurrency_limit, 'node')}"
    if found.HasField("header"):
        yield "header", blob_view.block(found.header, full) if full else blob_view.described(found.header)


def _trace(trace_id: str, url: str) -> Iterator[Line]:
    if trace_id:
        shown = printable(trace_id)
        link = url.replace("{trace_id}", shown)
        yield "trace", Text(link, style=f"link {link}") if url else shown


def _versions_seen(found: Checkpoint) -> Iterator[Line]:
    for node in sorted(found.versions_seen):
        versions = found.versions_seen[node].versions
        yield _key(node), ", ".join(f"{_key(name)} {versions[name]}" for name in sorted(versions))


def _state(state: VersionedState, full: bool) -> Iterator[RenderableType]:
    if state.HasField("messages"):
        messages = state.messages
        yield from _part(
            "messages", _counted(messages.version, len(messages.items), "message"), _messages(messages.items, full)
        )
    if state.HasField("extra"):
        entries = state.extra.entries
        lines = [(_key(key), pretty.json_text(entries[key], full)) for key in sorted(entries)]
        yield from _part("extra", _counted(state.extra.version, len(lines), "entry", "entries"), lines)
    if state.HasField("errors"):
        errors = state.errors
        yield from _part("errors", _counted(errors.version, len(errors.items), "error"), _errors(errors.items, full))
    yield from _custom_channels(state, full)


def _custom_channels(state: VersionedState, full: bool) -> Iterator[RenderableType]:
    custom = state.custom
    empty = [name for name in sorted(custom) if _is_empty(custom[name])]
    for name in sorted(set(custom) - set(empty)):
        yield from _part(f"custom {_key(name)}", _custom_note(custom[name]), _custom(state, name, full))
    if empty:
        yield from _part("custom channels without a value", "", [("", names(empty))])


def _is_empty(channel: CustomChannel) -> bool:
    """Whether a channel has no value; LangGraph gives those that trigger a node the value None."""
    return channel.WhichOneof("value") is None or (channel.HasField("blob") and channel.blob.type == "null")


def _counted(version: int, number: int, one: str, many: str = "") -> str:
    """How many there are, and the channel's version; 0 is that of a runner which counts none."""
    return format.count(number, one, many) + (f", version {version}" if version else "")


def _key(name: str) -> str:
    return printable(name) or '""'


def _messages(items: Iterable[Message], full: bool) -> Iterator[Line]:
    for number, message in enumerate(items):
        yield Text.assemble((f"{number} ", "dim"), (_key(message.role), "bold")), format.block(message.content, full)


def _errors(items: Iterable[ErrorEvent], full: bool) -> Iterator[Line]:
    for number, event in enumerate(items):
        yield Text(str(number), "dim"), error(event, full)


def error(event: ErrorEvent, full: bool) -> Text:
    """An error with what caused it, over several lines."""
    lines = [
        Text.assemble(
            (format.line(event.error.message, full) or "(no message)", "red"),
            (f"  {format.scope(event.scope)}, {format.moment(event.when)}", "dim"),
        ),
        *_causes(event.error, full),
    ]
    if event.tags:
        lines.append(Text(f"tags: {names(event.tags)}"))
    if event.context not in ("", "null"):
        lines.append(Text(f"context: {format.line(event.context, full)}"))
    return Text("\n").join(lines)


def _causes(of: WeaveError, full: bool) -> Iterator[Text]:
    if of.details not in ("", "null"):
        yield Text(f"details: {format.line(of.details, full)}")
    if of.HasField("cause"):
        yield Text(f"caused by: {format.line(of.cause.message, full) or '(no message)'}")
        yield from _causes(of.cause, full)


def _custom(state: VersionedState, name: str, full: bool) -> Iterator[Line]:
    channel = state.custom[name]
    if found := _chat_of(state, name):
        yield from _chat(found, full)
    elif channel.WhichOneof("value") == "list":
        for number, item in enumerate(channel.list.items):
            yield Text(str(number), "dim"), blob_view.block(item, full)
    else:
        yield "", blob_view.block(channel.blob, full)


def _chat_of(state: VersionedState, name: str) -> list[ChatMessage]:
    """The messages of a channel; none unless all of its items are messages."""
    only = VersionedState()
    only.custom[name].CopyFrom(state.custom[name])
    found = chat(only, name, max_bytes=blob_view.MAX_BYTES)
    values = [item.value for item in items(state.custom[name], max_bytes=blob_view.MAX_BYTES)]
    is_whole = state.custom[name].WhichOneof("value") == "blob" and isinstance(values[0], list)
    return found if len(found) == len(values[0] if is_whole else values) else []


def _chat(messages: Iterable[ChatMessage], full: bool) -> Iterator[Line]:
    for number, message in enumerate(messages):
        role = Text.assemble((f"{number} ", "dim"), (_key(message.role), "bold"))
        if message.name:
            role.append(f" {printable(message.name)}")
        parts = [format.block(message.content, full)] if message.content else []
        yield role, Text("\n").join([*map(Text, parts), *(_tool_call(call, full) for call in message.tool_calls)])


def _tool_call(call: ToolCall, full: bool) -> Text:
    answered = "" if call.result is not None or not call.id else "  no answer yet"
    name = printable(call.name) or "?"
    return Text.assemble(("→ ", "dim"), (name, "bold"), f" {pretty.block(call.arguments, full)}", (answered, "dim"))


def _custom_note(channel: CustomChannel) -> str:
    notes = []
    if channel.WhichOneof("value") == "list":
        notes.append(format.count(len(channel.list.items), "item"))
    if channel.version:
        notes.append(f"version {printable(channel.version)}")
    return ", ".join(notes) or "no value"


def _pending_write(write: PendingWrite, full: bool) -> Line:
    value = blob_view.block(write.value, full) if full else blob_view.brief(write.value, full)
    return f"{printable(write.task_id)} {write.index}", f"{_key(write.channel)}: {value}"


def _part(title: str, note: str, lines: Iterable[Line]) -> Iterator[RenderableType]:
    """A part under a title. Nothing at all where it has neither lines nor a note."""
    lines = list(lines)
    if lines or note not in ("", "0"):
        yield Text()
        yield heading(title, note)
        if lines:
            yield Rows(lines)
