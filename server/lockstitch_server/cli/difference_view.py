"""The difference between two checkpoints: as lines for people, as data for programs."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import Message as Protobuf
from rich.console import RenderableType
from rich.text import Text

from lockstitch.inspect import (
    Change,
    ChangeKind,
    ItemChange,
    PartChange,
    Plain,
    Work,
    decode,
    message,
    names,
    to_json,
    word_diff,
)
from lockstitch.v1.checkpoint_pb2 import BlobList, Checkpoint, ErrorEvent, Message, NodeKind, TypedBlob
from lockstitch_server.cli import blob_view, format, pretty
from lockstitch_server.cli.checkpoint_view import error
from lockstitch_server.cli.console import heading
from lockstitch_server.cli.exact_json import JsonText
from lockstitch_server.cli.output import printable

_SIGNS = {
    ChangeKind.ADDED: ("+", "green"),
    ChangeKind.REMOVED: ("-", "red"),
    ChangeKind.CHANGED: ("~", "yellow"),
    ChangeKind.MOVED: (">", "cyan"),
}
_CUSTOM = "custom/"
_JSON_PARTS = ("extra", "metadata")
_LISTS = ("frontier", "ran_nodes", "skipped_nodes", "updated_channels")
"""Fields whose values are short lists, which are shown as a whole."""
SHORT_TEXT = 40
"""Texts up to this length are shown as a whole, before and after."""
CONTEXT_CHARS = 40
"""Characters of the common text that are shown beside a difference."""
LEAST_COMMON = 0.3
"""Texts that have less in common are not compared by words."""


def data(old: Checkpoint, new: Checkpoint, parts: Sequence[PartChange]) -> dict[str, Any]:
    """What `exact_json.encode` takes."""
    return {
        "session_id": new.session_id,
        "namespace": new.namespace,
        "old": _identity(old),
        "new": _identity(new),
        "sections": [_part_data(part) for part in parts],
    }


def _identity(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in ("checkpoint_id", "parent_id", "step", "created_at")}


def _part_data(part: PartChange) -> dict[str, Any]:
    versions = {} if part.versions is None else {"versions": part.versions}
    return {"name": part.name, **versions, "changes": [_item_data(part.name, change) for change in part.changes]}


def _item_data(part: str, change: ItemChange) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": str(change.kind), "key": change.key}
    for name, value in _sides(change.kind, change.old, change.new):
        found[name] = _exact(part, value)
        if isinstance(value, TypedBlob) and (decoded := blob_view.as_json(value)) is not None:
            found[f"{name}_value"] = decoded
    if change.kind is ChangeKind.MOVED:
        found["old_key"] = change.old_index
    if change.kind is ChangeKind.CHANGED:
        found["changes"] = [_change_data(each) for each in change.changes]
    return found


def _exact(part: str, value: Any) -> Any:
    """A value as the contract has it; plain data, and JSON texts, as the JSON that they are."""
    if part in _JSON_PARTS:
        return JsonText(value)
    is_plain = part.startswith(_CUSTOM) and not isinstance(value, Protobuf)
    return JsonText(to_json(value)) if is_plain else value


def _change_data(change: Change) -> dict[str, Any]:
    sides = ((name, JsonText(to_json(value))) for name, value in _sides(change.kind, change.old, change.new))
    moved = {"old_index": change.old_index} if change.kind is ChangeKind.MOVED else {}
    return {"kind": str(change.kind), "path": change.path, **dict(sides), **moved}


def _sides(kind: ChangeKind, old: Any, new: Any) -> Iterator[tuple[str, Any]]:
    """What there was before and after: of what was added nothing before, of what was removed nothing after."""
    if kind is not ChangeKind.ADDED:
        yield "old", old
    if kind is not ChangeKind.REMOVED:
        yield "new", new


def lines(
    old: Checkpoint, new: Checkpoint, parts: Sequence[PartChange], full: bool, work: Work
) -> Iterator[RenderableType]:
    """What to print. work: what is left of the comparison's, for its texts."""
    title = f"{printable(new.session_id)}  step {old.step} → step {new.step}"
    yield heading(title, format.elapsed(old.created_at, new.created_at))
    if not parts:
        yield Text("no difference")
    for part in parts:
        yield Text()
        yield heading(_title(part.name), _versions(part))
        for change in part.changes:
            yield from _item_lines(part.name, change, full, work)
    if work.refused:
        yield Text(f"\nSo much differs that texts and lists were compared as a whole: {work.refused}", "dim")


def _title(name: str) -> str:
    """A part's name in words; the names of custom channels are their owners', and stay as they are."""
    return printable(name if name.startswith(_CUSTOM) else name.replace("_", " "))


def _versions(part: PartChange) -> str:
    if part.versions is None or not any(part.versions):  # 0 and "" are those of a runner that counts none
        return ""
    old, new = (format.NOTHING if version is None else printable(str(version)) for version in part.versions)
    return f"version {new}" if old == new else f"version {old} → {new}"


def _item_lines(name: str, change: ItemChange, full: bool, work: Work) -> Iterator[Text]:
    if change.kind is not ChangeKind.CHANGED:
        place = f" from [{change.old_index}]" if change.kind is ChangeKind.MOVED else ""
        value = change.old if change.kind is ChangeKind.REMOVED else change.new
        colon = " " if isinstance(change.key, int) else ": "
        yield _start(change.kind, _item_path(change.key) + place, colon).append_text(_value(name, value, full))
    elif change.changes and name not in _LISTS:
        for each in change.changes:
            yield _change_line(_item_path(change.key), each, full, work)
    else:
        text = _start(change.kind, _item_path(change.key))
        before, after = (_value(name, each, full) for each in (change.old, change.new))
        text.append_text(before).append(" → ", "dim").append_text(after)
        note = change.problem or ("" if name in _LISTS else "the same value in other bytes")
        yield text.append(f"  ({printable(note)})" if note else "", "dim")


def _start(kind: ChangeKind, path: str, colon: str = ": ") -> Text:
    sign, style = _SIGNS[kind]
    return Text.assemble((f"  {sign} ", style), (f"{path}{colon}" if path else "", "bold"))


def _item_path(key: Any) -> str:
    if key is None:
        return ""
    if isinstance(key, tuple):
        return " ".join(printable(part) or '""' for part in key)
    return _path((key,))


def _path(path: Sequence[str | int]) -> str:
    """A path as one writes it in a program: plan.steps[2]["a key"]."""
    found = ""
    for part in path:
        if isinstance(part, int):
            found += f"[{part}]"
        elif part.isidentifier() or part.replace("-", "_").isidentifier():
            found += f".{part}" if found else part
        else:
            found += f"[{json.dumps(part, ensure_ascii=False)}]"
    return printable(found)


def _change_line(item: str, change: Change, full: bool, work: Work) -> Text:
    path = _path(change.path)
    separator = "." if item and path and not path.startswith("[") else ""
    place = f" from [{change.old_index}]" if change.kind is ChangeKind.MOVED else ""
    text = _start(change.kind, f"{item}{separator}{path}{place}")
    if change.kind is ChangeKind.CHANGED:
        return text.append_text(_both(change.old, change.new, full, work))
    return text.append(pretty.line(change.old if change.kind is ChangeKind.REMOVED else change.new, full))


def _both(old: Plain, new: Plain, full: bool, work: Work) -> Text:
    """A value before and after: long texts by words."""
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > SHORT_TEXT:
        return _by_words(old, new, full, work) or _old_and_new_text(old, new, full)
    return Text.assemble(pretty.line(old, full), (" → ", "dim"), pretty.line(new, full))


def _old_and_new_text(old: str, new: str, full: bool) -> Text:
    """Where both are long, what is shown of them begins shortly before they differ."""
    start = 0 if full else format.difference_start(old, new)
    before, after = (format.line(text, full, start) for text in (old, new))
    return Text.assemble(before, (" → ", "dim"), after)


def _by_words(old: str, new: str, full: bool, work: Work) -> Text | None:
    """Two texts in one: [-what was removed-]{+what was added+}. None: they have too little in common."""
    pieces = word_diff(old, new, work)
    common = sum(len(piece.text) for piece in pieces if piece.kind is None)
    if common < LEAST_COMMON * max(len(old), len(new)):
        return None
    text = Text()
    for number, piece in enumerate(pieces):
        if piece.kind is ChangeKind.REMOVED:
            text.append(f"[-{format.line(piece.text, full)}-]", "red")
        elif piece.kind is ChangeKind.ADDED:
            text.append(f"{{+{format.line(piece.text, full)}+}}", "green")
        else:
            text.append(_common(piece.text, number == 0, number == len(pieces) - 1, full))
    return text


def _common(text: str, is_first: bool, is_last: bool, full: bool) -> str:
    """What both texts have in common, without what stands far from any difference."""
    head, tail = (0 if is_first else CONTEXT_CHARS), (0 if is_last else CONTEXT_CHARS)
    if full or len(text) <= head + tail + CONTEXT_CHARS:
        return printable(text)
    return f"{printable(text[:head])}…{printable(text[len(text) - tail :])}"


def _value(name: str, value: Any, full: bool) -> Text:
    match value:
        case Message():
            return Text.assemble((printable(value.role) or '""', "bold"), f": {format.line(value.content, full)}")
        case ErrorEvent():
            return Text(" | ").join(error(value, full).split("\n"))
        case TypedBlob():
            found = _message(decode(value, max_bytes=blob_view.MAX_BYTES).value, full)
            return found or Text(blob_view.brief(value, full))
        case BlobList():
            return Text(format.count(len(value.items), "item"))
        case str() if name in _JSON_PARTS:
            return Text(format.line(value, full))
        case list() if name in _LISTS:
            return Text(_list(value) or format.NOTHING)
    return _message(value, full) or Text(pretty.line(value, full))


def _message(value: Plain, full: bool) -> Text | None:
    """A message of a chat in a line; None: it is none."""
    found = message(value)
    if found is None:
        return None
    calls = "".join(f" → {printable(call.name)} {pretty.line(call.arguments, full)}" for call in found.tool_calls)
    role = f"{found.role} {found.name}".strip()
    return Text.assemble((printable(role) or '""', "bold"), f": {format.line(found.content, full)}{calls}")


def _list(values: Sequence[Any]) -> str:
    of = names(values) if values and isinstance(values[0], NodeKind) else values
    return ", ".join(printable(each) or '""' for each in of)
