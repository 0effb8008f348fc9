"""Where a value stands within another one: as a JSON pointer for links, and as a path that people can copy."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lockstitch.inspect import Instance, Plain

Path = tuple[str | int, ...]

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")


def pointer(path: Sequence[str | int]) -> str:
    """A path as a JSON pointer (RFC 6901).

    >>> pointer(("a/b", 0))
    '/a~1b/0'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parts(text: str) -> list[str]:
    """The parts of a JSON pointer. Raises ValueError for text that is none.

    >>> parts("/a~1b/0")
    ['a/b', '0']
    """
    if text and not text.startswith("/"):
        raise ValueError(f'A path begins with "/": {text[:100]}')
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def readable(path: Sequence[str | int]) -> str:
    """A path as programs write it.

    >>> readable(("messages", 3, "tool calls"))
    'messages[3]["tool calls"]'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _NAME.match(part):
            text += f".{part}" if text else part
        else:
            quoted = part.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{quoted}"]'
    return text


def find(value: Plain, text: str) -> tuple[Path, Plain]:
    """What a JSON pointer points to. Raises LookupError: nothing stands there."""
    path: list[str | int] = []
    for part in parts(text):
        step, value = _child(value, part)
        path.append(step)
    return tuple(path), value


def _child(value: Any, part: str) -> tuple[str | int, Plain]:
    inner = value.value if isinstance(value, Instance) else value
    if isinstance(inner, Mapping):
        for key, item in inner.items():
            if str(key) == part:
                return part, item
    if isinstance(inner, list | tuple) and part.isascii() and part.isdigit() and int(part) < len(inner):
        return int(part), inner[int(part)]
    raise LookupError(f"Nothing stands at {part[:100]!r}.")
