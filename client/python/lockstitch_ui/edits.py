"""Values of a checkpoint that can be edited as text, and the checkpoint with an edited value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstitch import Checkpoint, TypedBlob
from lockstitch.inspect import Encoding, decode

EXTRA, CUSTOM, MESSAGES = "extra/", "custom/", "messages"
MAX_EDITED_BYTES = 1024 * 1024
"""Of a value: as it is stored, as the form shows it, and as the form sends it back."""


class EditInvalid(ValueError):
    """The value cannot be edited, or not to this. The message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is. channel: "extra/<key>", "custom/<name>" or "messages". item: the index in a list; -1: none."""

    channel: str
    item: int = -1

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.channel} [{self.item}]" if self.item >= 0 else self.channel


@dataclass(frozen=True, slots=True)
class Editable:
    """A value as text. encoding: what the text is: "json" or "text"."""

    text: str
    encoding: Encoding


def read(checkpoint: Checkpoint, place: Place) -> Editable:
    """The value at a place. Raises EditInvalid."""
    state = checkpoint.state
    if place.channel == MESSAGES:
        return Editable(_bounded(_item(state.messages.items, place).content), Encoding.TEXT)
    if place.channel.startswith(EXTRA):
        key = place.channel.removeprefix(EXTRA)
        if key not in state.extra.entries:
            raise EditInvalid(f'There is no extra "{key}" in this checkpoint.')
        return Editable(_pretty(_bounded(state.extra.entries[key])), Encoding.JSON)
    return _readable(_blob(checkpoint, place))


def edited(checkpoint: Checkpoint, place: Place, text: str) -> Checkpoint:
    """A copy of a checkpoint with another value at a place. Raises EditInvalid."""
    if len(text.encode()) > MAX_EDITED_BYTES:
        raise EditInvalid(f"The value has more than {MAX_EDITED_BYTES} bytes; change it by a program instead.")
    read(checkpoint, place)
    changed = Checkpoint()
    changed.CopyFrom(checkpoint)
    if place.channel == MESSAGES:
        changed.state.messages.items[place.item].content = text
    elif place.channel.startswith(EXTRA):
        changed.state.extra.entries[place.channel.removeprefix(EXTRA)] = json.dumps(_parsed(text), ensure_ascii=False)
    else:
        blob = _blob(changed, place)
        blob.data = _encoded(blob, text)
    return changed


def _blob(checkpoint: Checkpoint, place: Place) -> TypedBlob:
    name = place.channel.removeprefix(CUSTOM)
    if not place.channel.startswith(CUSTOM) or name not in checkpoint.state.custom:
        raise EditInvalid(f'There is no channel "{place.channel}" in this checkpoint.')
    channel = checkpoint.state.custom[name]
    kind = channel.WhichOneof("value")
    if kind == "list":
        return _item(channel.list.items, place)
    if kind != "blob" or place.item >= 0:
        raise EditInvalid(f'The channel "{name}" has no such value.')
    return channel.blob


def _item(items: Sequence[Any], place: Place) -> Any:
    if not 0 <= place.item < len(items):
        raise EditInvalid(f'"{place.channel}" is a list of {len(items)}: choose one of its items.')
    return items[place.item]


def _bounded(text: str) -> str:
    """A text that is not too large. Raises EditInvalid."""
    _refuse_large(len(text.encode()))
    return text


def _refuse_large(size: int) -> None:
    if size > MAX_EDITED_BYTES:
        raise EditInvalid(
            f"The value has {size} bytes, and up to {MAX_EDITED_BYTES} can be edited here. Change it by a program."
        )


def _readable(blob: TypedBlob) -> Editable:
    _refuse_large(len(blob.data))
    found = decode(blob)
    if found.problem or found.encoding not in (Encoding.JSON, Encoding.TEXT, Encoding.MSGPACK, Encoding.NULL):
        raise EditInvalid(f'A value of type "{blob.type}" cannot be edited as text. {found.problem}'.strip())
    if found.encoding is Encoding.TEXT:
        return Editable(found.value, Encoding.TEXT)
    if found.encoding is Encoding.JSON:
        return Editable(_pretty(blob.data.decode()), Encoding.JSON)
    if found.encoding is not Encoding.MSGPACK or not _is_plain(found.value):
        raise EditInvalid(
            "The value has objects of a program in it, which only that program can make. Change it by the program, "
            "such as with LangGraph's update_state."
        )
    text = _indented(found.value) or json.dumps(found.value, ensure_ascii=False)
    return Editable(_bounded(text), Encoding.JSON)  # MessagePack is shorter than JSON


def _encoded(blob: TypedBlob, text: str) -> bytes:
    found = decode(blob)
    if found.encoding is Encoding.TEXT:
        return text.encode()
    value = _parsed(text)
    if found.encoding is Encoding.JSON:
        return json.dumps(value, ensure_ascii=False).encode()
    import ormsgpack

    try:
        return ormsgpack.packb(value)
    except (TypeError, ValueError) as error:
        raise EditInvalid(f"MessagePack cannot hold the value: {error}") from None


def _parsed(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise EditInvalid(f"The text is not JSON: {error}") from None
    _refuse_half_pairs(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _refuse_half_pairs(value: Any) -> None:
    """Raises EditInvalid for texts that UTF-8, and so a form, cannot hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise EditInvalid("The value is nested too deep to be edited here. Change it by a program.") from None
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise EditInvalid(
            f"The value has half of a surrogate pair, U+{half:04X}, which a form cannot hold. Change it by a program."
        ) from None


def _pretty(text: str) -> str:
    """JSON text over several lines, where that keeps every number as it is. Raises EditInvalid."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    _refuse_half_pairs(value)
    if "." in text or "e" in text.lower():
        return text
    shown = _indented(value)
    return shown if shown is not None and json.loads(shown) == value else text


def _indented(value: Any) -> str | None:
    """JSON text over several lines; None: it would be too large, such as that of lists that are nested deep."""
    parts: list[str] = []
    size = 0
    try:
        for part in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(value):
            size += len(part.encode())
            if size > MAX_EDITED_BYTES:
                return None
            parts.append(part)
    except RecursionError:
        return None
    return "".join(parts)


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bool | int | float)
