"""One checkpoint, to be read by people."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from lockstitch import Loaded
from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    CustomChannel,
    ErrorEvent,
    Message,
    PendingWrite,
    VersionedState,
    WeaveError,
)
from lockstitch_server.cli import words
from lockstitch_server.cli.console import heading, rows
from lockstitch_server.cli.lists_view import names, nodes
from lockstitch_server.cli.output import printable

Line = tuple[str | Text, str | Text]


def checkpoint(loaded: Loaded, full: bool, trace_url: str = "") -> Iterator[RenderableType]:
    """Everything that a checkpoint holds; long texts are cut unless `full`.

    trace_url: where its trace can be looked at, with `{trace_id}` in it.
    """
    found = loaded.checkpoint
    yield heading(f"{printable(found.session_id)}  step {found.step}", _namespace(found))
    yield _grid([*_header(found), *_trace(loaded.trace_id, trace_url)])
    yield from _part("versions seen", "", _versions_seen(found))
    yield from _part(
        "metadata", "", [(_key(key), words.line(found.metadata[key], full)) for key in sorted(found.metadata)]
    )
    yield from _state(found.state, full)
    yield from _part("pending writes", str(len(loaded.pending_writes)), map(_pending_write, loaded.pending_writes))


def _namespace(found: Checkpoint) -> str:
    return f"namespace {printable(found.namespace)}" if found.namespace else ""


def _header(found: Checkpoint) -> Iterator[Line]:
    now = datetime.now(UTC)
    yield "id", printable(found.checkpoint_id)
    if found.parent_id:
        yield "parent", printable(found.parent_id)
    yield "created", f"{words.moment(found.created_at)} ({words.ago(found.created_at, now)})"
    yield "next", nodes(found.frontier) or words.NOTHING
    yield "ran", nodes(found.ran_nodes) or words.NOTHING
    yield "skipped", nodes(found.skipped_nodes) or words.NOTHING
    yield "updated", names(found.updated_channels) or words.NOTHING
    if found.concurrency_limit:
        yield "at once", f"at most {words.count(found.concurrency_limit, 'node')}"
    if found.HasField("header"):
        yield "header", words.blob(found.header)


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
        lines = [(_key(key), words.block(entries[key], full)) for key in sorted(entries)]
        yield from _part("extra", _counted(state.extra.version, len(lines), "entry", "entries"), lines)
    if state.HasField("errors"):
        errors = state.errors
        yield from _part("errors", _counted(errors.version, len(errors.items), "error"), _errors(errors.items, full))
    for name in sorted(state.custom):
        channel = state.custom[name]
        yield from _part(f"custom {_key(name)}", _custom_note(channel), _custom(channel))


def _counted(version: int, number: int, one: str, many: str = "") -> str:
    """How many there are, and the channel's version; 0 is that of a runner which counts none."""
    return words.count(number, one, many) + (f", version {version}" if version else "")


def _key(name: str) -> str:
    return printable(name) or '""'


def _messages(items: Iterable[Message], full: bool) -> Iterator[Line]:
    for number, message in enumerate(items):
        yield Text.assemble((f"{number} ", "dim"), (_key(message.role), "bold")), words.block(message.content, full)


def _errors(items: Iterable[ErrorEvent], full: bool) -> Iterator[Line]:
    for number, event in enumerate(items):
        yield Text(str(number), "dim"), error(event, full)


def error(event: ErrorEvent, full: bool) -> Text:
    """An error with what caused it, over several lines."""
    lines = [
        Text.assemble(
            (words.line(event.error.message, full) or "(no message)", "red"),
            (f"  {words.scope(event.scope)}, {words.moment(event.when)}", "dim"),
        ),
        *_causes(event.error, full),
    ]
    if event.tags:
        lines.append(Text(f"tags: {names(event.tags)}"))
    if event.context not in ("", "null"):
        lines.append(Text(f"context: {words.line(event.context, full)}"))
    return Text("\n").join(lines)


def _causes(of: WeaveError, full: bool) -> Iterator[Text]:
    if of.details not in ("", "null"):
        yield Text(f"details: {words.line(of.details, full)}")
    if of.HasField("cause"):
        yield Text(f"caused by: {words.line(of.cause.message, full) or '(no message)'}")
        yield from _causes(of.cause, full)


def _custom(channel: CustomChannel) -> Iterator[Line]:
    match channel.WhichOneof("value"):
        case "blob":
            yield "", words.blob(channel.blob)
        case "list":
            for number, item in enumerate(channel.list.items):
                yield Text(str(number), "dim"), words.blob(item)


def _custom_note(channel: CustomChannel) -> str:
    notes = []
    if channel.WhichOneof("value") == "list":
        notes.append(words.count(len(channel.list.items), "item"))
    if channel.version:
        notes.append(f"version {printable(channel.version)}")
    return ", ".join(notes) or "no value"


def _pending_write(write: PendingWrite) -> Line:
    return f"{printable(write.task_id)} {write.index}", f"{_key(write.channel)}: {words.blob(write.value)}"


def _part(title: str, note: str, lines: Iterable[Line]) -> Iterator[RenderableType]:
    """A part under a title. Nothing at all where it has neither lines nor a note."""
    lines = list(lines)
    if lines or note not in ("", "0"):
        yield Text()
        yield heading(title, note)
        if lines:
            yield _grid(lines)


def _grid(lines: Iterable[Line]) -> Padding:
    grid = rows()
    for name, value in lines:
        grid.add_row(name, value)
    return Padding(grid, (0, 0, 0, 2), expand=False)
