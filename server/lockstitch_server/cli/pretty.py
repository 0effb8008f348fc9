"""Plain values as indented JSON, for people: what fits stands on one line."""

import json
import math
from base64 import b64encode
from collections.abc import Iterator
from itertools import islice

from lockstitch.inspect import Instance, Plain
from lockstitch.inspect._values import MAX_NESTING, is_nested_deeper
from lockstitch_server.cli.output import printable

WIDTH = 72
CLIPPED_LINES = 16
CLIPPED_CHARS = 400
"""Of a line, unless all of it is wanted."""
INDENT = "  "


class _Digits(float):
    """A number that is written as it stood in its text."""

    text: str

    def __new__(cls, text: str) -> "_Digits":
        made = super().__new__(cls, text)
        made.text = text
        return made


def json_text(text: str, full: bool) -> str:
    """A JSON text, indented, its numbers digit for digit."""
    try:
        value = json.loads(text, parse_float=_Digits)
    except (ValueError, RecursionError):
        return _line(text, full)
    return _line(text, full) if is_nested_deeper(value, MAX_NESTING) else _clipped(_lines(value, "", ""), full)


def block(value: Plain, full: bool) -> str:
    """A value over several lines; the first of them, if they are many."""
    if isinstance(value, str):
        return _clipped(iter(value.split("\n", -1 if full else CLIPPED_LINES)), full)
    return _clipped(_lines(value, "", ""), full)


def line(value: Plain, full: bool) -> str:
    """A value on one line; its beginning, if it is long."""
    text = "".join(_tokens(value)) if full else _beginning(value, CLIPPED_CHARS + 1)
    return _line(text, full)


def _clipped(lines: Iterator[str], full: bool) -> str:
    if full:
        return "\n".join(map(printable, lines))
    shown = [_line(each, full) for each in islice(lines, CLIPPED_LINES)]
    if next(lines, None) is not None:
        shown.append("… (more: --full)")
    return "\n".join(shown)


def _line(text: str, full: bool) -> str:
    if full or len(text) <= CLIPPED_CHARS:
        return printable(text)
    return f"{printable(text[:CLIPPED_CHARS])}…"


def _lines(value: Plain, indent: str, before: str) -> Iterator[str]:
    """A value's lines. before: what stands before it on its first line."""
    flat = _beginning(value, WIDTH + 1)
    items = _parts(value)
    if items is None or len(flat) <= WIDTH:
        yield indent + before + (flat if len(flat) <= WIDTH else "".join(_tokens(value)))
        return
    opened, closed, parts = items
    held = indent + before + opened  # the line before, to which a comma may belong
    for number, (name, item) in enumerate(parts):
        for place, each in enumerate(_lines(item, indent + INDENT, name)):
            yield held + ("," if number and not place else "")
            held = each
    yield held
    yield indent + closed


def _parts(value: Plain) -> tuple[str, str, Iterator[tuple[str, Plain]]] | None:
    """Brackets and items of a container; None: it is none."""
    if isinstance(value, Instance):
        if isinstance(value.value, dict):
            return f"{value.name} {{", "}", ((f"{_text(key)}: ", item) for key, item in value.value.items())
        return f"{value.name} (", ")", iter([("", value.value)])
    if isinstance(value, dict):
        return "{", "}", ((f"{_text(key)}: ", item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return "[", "]", (("", item) for item in value)
    return None


def _tokens(value: Plain) -> Iterator[str]:
    """The pieces of a value's text on one line."""
    items = _parts(value)
    if items is None:
        yield _scalar(value)
        return
    opened, closed, parts = items
    yield opened
    for number, (name, item) in enumerate(parts):
        yield f"{', ' if number else ''}{name}"
        yield from _tokens(item)
    yield closed


def _beginning(value: Plain, length: int) -> str:
    """The text of a value on one line, of which no more is made than about that length."""
    found, size = [], 0
    for token in _tokens(value):
        found.append(token)
        size += len(token)
        if size > length:
            break
    return "".join(found)


def _scalar(value: Plain) -> str:
    if isinstance(value, _Digits):
        return value.text
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        shown = b64encode(value[:24]).decode()
        return f"bytes({len(value)}, {shown}{'…' if len(value) > 24 else ''})"
    return json.dumps(value, ensure_ascii=False)


def _text(key: object) -> str:
    return json.dumps(key if isinstance(key, str) else str(key), ensure_ascii=False)
