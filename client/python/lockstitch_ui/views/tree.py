"""A value as a tree that can be opened and closed, of a bounded size."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from lockstitch.inspect import Decoded, Encoding, Instance, Plain, decode
from lockstitch.v1.checkpoint_pb2 import TypedBlob
from lockstitch_ui.views.paths import Path, pointer, readable

MAX_BYTES = 256 * 1024
"""Larger values are not decoded unasked: a third of a second may go into one, if it is made for that."""
MAX_DECODED_BYTES = 2 * 1024 * 1024
"""Of all values of a page."""
MAX_NODES = 1500
"""Nodes of all trees of a page."""
MAX_CHARACTERS = 200_000
"""Of all texts of a page."""
MAX_CHILDREN = 200
"""Of one node. Links lead to the others."""
MAX_TEXT = 2000
"""Characters of one text. A link leads to the whole."""
MAX_INNER_TEXT = 600
"""The same within an object or a list."""
MAX_DEPTH = 24
_LINE = 120
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_OPEN_ITEMS = 12


@dataclass(slots=True)
class Budget:
    """How much a page still shows."""

    nodes: int = MAX_NODES
    characters: int = MAX_CHARACTERS
    bytes: int = MAX_DECODED_BYTES

    def decode(self, blob: TypedBlob) -> Decoded:
        """A value; as bytes, with the problem, where it or what the page has decoded is too large."""
        size = len(blob.data)
        if self.bytes < size <= MAX_BYTES:
            problem = f"the page has decoded other values, and decodes {MAX_DECODED_BYTES} bytes"
            return Decoded(Encoding.BYTES, blob.data, problem)
        found = decode(blob, max_bytes=MAX_BYTES)
        if size <= MAX_BYTES and (found.encoding is not Encoding.BYTES or found.problem):
            self.bytes -= size
        return found

    def take_text(self, text: str, limit: int = MAX_TEXT) -> str:
        """As much of a text as is shown."""
        shown = text[: max(0, min(limit, self.characters))]
        self.characters -= len(shown)
        return shown


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a tree.

    kind: object, list, text, number, true, false, null or bytes. summary: of an object or list, else its text.
    type: its class; "" for plain data. path, pointer: where it stands. children: of an object or list.
    more: how many children are not shown. cut: how many characters, or bytes, of a text are not shown.
    """

    label: str
    kind: str
    summary: str
    path: str
    pointer: str
    type: str = ""
    children: Sequence["Node"] = ()
    more: int = 0
    cut: int = 0
    is_open: bool = False
    is_new: bool = False
    skipped: int = 0
    """How many children before the first one shown are not shown."""

    @property
    def is_container(self) -> bool:
        return self.kind in ("object", "list")

    @property
    def has_address(self) -> bool:
        """Whether a URL can lead to it: keys of JSON may have halves of surrogate pairs, which UTF-8 does not have."""
        return self.pointer.isascii() or not _HALF_PAIR.search(self.pointer)

    @property
    def is_block(self) -> bool:
        """Whether it is text of several lines, or of a long one."""
        return self.kind == "text" and ("\n" in self.summary or len(self.summary) > _LINE)


def tree(
    value: Plain,
    budget: Budget,
    *,
    label: str = "",
    path: Path = (),
    base: Path = (),
    first: int = 0,
    offset: int = 0,
    new_from: int | None = None,
    depth: int = 0,
) -> Node:
    """The tree of a value.

    base: what stands before `path` where people read it, such as the channel. first: the child that is shown first.
    offset: the index of the first item of a list, where `value` is only the rest of it. new_from: the index from which
    on the items are new; None: none is.
    """
    budget.nodes -= 1
    inner: Any = value.value if isinstance(value, Instance) else value
    type_name = value.type if isinstance(value, Instance) else ""
    place, where = readable((*base, *path)), pointer(path)
    if not isinstance(inner, Mapping | list | tuple):
        return _leaf(label, inner, budget, place, where, type_name, MAX_INNER_TEXT if depth else MAX_TEXT)
    children: list[Node] = []
    for step, item in _children(inner, first, offset):
        if len(children) >= MAX_CHILDREN or budget.nodes <= 0 or depth >= MAX_DEPTH:
            break
        child = tree(item, budget, label=str(step), path=(*path, step), base=base, depth=depth + 1)
        is_new = new_from is not None and isinstance(step, int) and step >= new_from
        children.append(replace(child, is_new=True) if is_new else child)
    return Node(
        label,
        "object" if isinstance(inner, Mapping) else "list",
        _summary(inner, offset),
        place,
        where,
        type_name,
        children,
        more=max(0, len(inner) - first - len(children)),
        is_open=depth == 0 or (depth < 3 and len(inner) <= _OPEN_ITEMS),
        skipped=first + offset,
    )


def _leaf(label: str, value: Any, budget: Budget, place: str, where: str, type_name: str, limit: int) -> Node:
    kind, text = _scalar(value)
    shown = budget.take_text(text, limit)
    cut = len(value) - len(shown) // 2 if isinstance(value, bytes) else len(text) - len(shown)
    return Node(label, kind, shown, place, where, type_name, cut=cut)


def _children(inner: Any, first: int, offset: int) -> Iterator[tuple[str | int, Any]]:
    """The steps to children, and the children, from one of them on."""
    if isinstance(inner, Mapping):
        for key, item in islice(inner.items(), first, None):
            yield str(key), item
    else:
        for number in range(first, len(inner)):
            yield number + offset, inner[number]


def _summary(inner: Any, offset: int) -> str:
    """What an object or a list holds, in a line."""
    count = len(inner) + offset
    if not count:
        return "empty"
    if isinstance(inner, list | tuple):
        return f"{count} item" + ("s" if count > 1 else "")
    names = ", ".join(str(key)[:40] for key in list(inner)[:6])
    return names[:_LINE] + (", …" if len(inner) > 6 else "")


def _scalar(value: Any) -> tuple[str, str]:
    if value is None:
        return "null", "null"
    if isinstance(value, bool):
        return ("true", "true") if value else ("false", "false")
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bytes):
        return "bytes", value[:MAX_TEXT].hex()
    if isinstance(value, float):
        return "number", repr(value)
    return "number", str(value) if not isinstance(value, int) else _integer(value)


def _integer(value: int) -> str:
    """Python refuses to write integers of more than 4,300 digits."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def one_line(value: Plain, limit: int = 300) -> str:
    """A value in a line, cut."""
    if isinstance(value, str):
        return json.dumps(value[:limit], ensure_ascii=False) + ("…" if len(value) > limit else "")
    return _line(value, limit, 0)[:limit]


def _line(value: Any, limit: int, depth: int) -> str:
    inner = value.value if isinstance(value, Instance) else value
    name = value.type if isinstance(value, Instance) else ""
    if isinstance(inner, str):
        return one_line(inner, limit)
    if not isinstance(inner, Mapping | list | tuple):
        return name + _scalar(inner)[1][:limit]
    is_object = isinstance(inner, Mapping)
    pairs: Iterable[tuple[Any, Any]] = inner.items() if isinstance(inner, Mapping) else enumerate(inner)
    opened, closed = ("{", "}") if is_object else ("[", "]")
    if depth > 6:
        return f"{name}{opened}…{closed}"
    texts: list[str] = []
    for key, item in pairs:
        if sum(map(len, texts)) > limit:
            texts.append("…")
            break
        line = _line(item, limit, depth + 1)
        texts.append(f"{one_line(str(key), 60)}: {line}" if is_object else line)
    return f"{name}{opened}{', '.join(texts)}{closed}"
