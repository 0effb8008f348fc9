"""The difference between two checkpoints: as lines for people, as data for programs."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from lockstitch.v1.checkpoint_pb2 import BlobList, Checkpoint, ErrorEvent, Message, NodeKind, TypedBlob
from lockstitch_server.cli import words
from lockstitch_server.cli.checkpoint_view import error
from lockstitch_server.cli.console import heading
from lockstitch_server.cli.difference import CUSTOM, Change, Key, Section
from lockstitch_server.cli.lists_view import names, nodes
from lockstitch_server.cli.output import printable

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def data(old: Checkpoint, new: Checkpoint, sections: Sequence[Section]) -> dict[str, Any]:
    """What `exact_json.encode` takes."""
    return {
        "session_id": new.session_id,
        "namespace": new.namespace,
        "old": _identity(old),
        "new": _identity(new),
        "sections": [_section(section) for section in sections],
    }


def _identity(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in ("checkpoint_id", "parent_id", "step", "created_at")}


def _section(section: Section) -> dict[str, Any]:
    versions = {} if section.versions is None else {"versions": section.versions}
    return {"name": section.name, **versions, "changes": [_change(change) for change in section.changes]}


def _change(change: Change) -> dict[str, Any]:
    values = {"old": change.old, "new": change.new}
    absent = {"added": "old", "removed": "new"}.get(change.kind)
    return {"kind": change.kind, "key": change.key, **{name: it for name, it in values.items() if name != absent}}


def lines(old: Checkpoint, new: Checkpoint, sections: Sequence[Section], full: bool) -> Iterator[RenderableType]:
    """What to print."""
    title = f"{printable(new.session_id)}  step {old.step} → step {new.step}"
    yield heading(title, words.elapsed(old.created_at, new.created_at))
    if not sections:
        yield Text("no difference")
    for section in sections:
        yield Text()
        yield heading(_title(section.name), _versions(section))
        for change in section.changes:
            yield _line(change, full)


def _title(name: str) -> str:
    """A part's name in words; the names of custom channels are their owners', and stay as they are."""
    return printable(name if name.startswith(CUSTOM) else name.replace("_", " "))


def _versions(section: Section) -> str:
    if section.versions is None:
        return ""
    old, new = (words.NOTHING if version is None else printable(str(version)) for version in section.versions)
    return f"version {new}" if old == new else f"version {old} → {new}"


def _line(change: Change, full: bool) -> Text:
    sign, style = _SIGNS[change.kind]
    text = Text.assemble((f"  {sign} ", style), (_key(change.key), "bold"))
    # Where both are long, what is shown of them begins shortly before they differ.
    start = 0 if full or change.kind != "changed" else words.difference_start(_text(change.old), _text(change.new))
    if change.kind != "added":
        text.append_text(_value(change.old, full, start))
    if change.kind == "changed":
        text.append(" → ", "dim")
    if change.kind != "removed":
        text.append_text(_value(change.new, full, start))
    return text


def _key(key: Key) -> str:
    if key is None:
        return ""
    if isinstance(key, int):
        return f"[{key}] "
    parts = (key,) if isinstance(key, str) else key
    shown = " ".join(printable(part) or '""' for part in parts)
    return f"{shown}: "


def _text(value: Any) -> str:
    """What of a value may be long."""
    return value.content if isinstance(value, Message) else value if isinstance(value, str) else ""


def _value(value: Any, full: bool, start: int) -> Text:
    match value:
        case Message():
            content = words.line(value.content, full, start)
            return Text.assemble((printable(value.role) or '""', "bold"), f": {content}")
        case ErrorEvent():
            return Text(" | ").join(error(value, full).split("\n"))
        case TypedBlob():
            return Text(words.blob(value))
        case BlobList():
            return Text(words.count(len(value.items), "item"))
        case list():
            return Text(_list(value) or words.NOTHING)
    return Text(words.line(str(value), full, start))


def _list(values: Sequence[Any]) -> str:
    return nodes(values) if values and isinstance(values[0], NodeKind) else names(values)
