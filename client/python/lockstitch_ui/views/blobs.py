"""Stored bytes as people read them: decoded, or in hexadecimal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch.inspect import Decoded, Encoding
from lockstitch.v1.checkpoint_pb2 import TypedBlob

MAX_HEX_BYTES = 512
_PER_LINE = 16


class HexLine(NamedTuple):
    """16 bytes. text: those that are printable ASCII; a dot stands for each of the others."""

    offset: str
    digits: str
    text: str


@dataclass(frozen=True, slots=True)
class Hex:
    """The beginning of some bytes. cut: how many are not shown. problem: why they were not decoded."""

    lines: list[HexLine]
    size: int
    cut: int
    problem: str = ""


def is_opaque(found: Decoded) -> bool:
    """Whether a value stayed bytes, which plain data such as a msgpack string of bytes is not."""
    return found.encoding is Encoding.BYTES


def max_item_bytes(items: Sequence[TypedBlob], total: int) -> int:
    """How large an item may be to be decoded, so that all of them together are at most `total` bytes.

    >>> max_item_bytes([TypedBlob(data=b"1234"), TypedBlob(data=b"1")], 4)
    2
    """
    return total if sum(len(item.data) for item in items) <= total else total // len(items)


def hexadecimal(data: bytes, limit: int = MAX_HEX_BYTES, first: int = 0, problem: str = "") -> Hex:
    """A dump of bytes, from `first` on."""
    shown = data[first : first + limit]
    lines = [_line(first + start, shown[start : start + _PER_LINE]) for start in range(0, len(shown), _PER_LINE)]
    return Hex(lines, len(data), max(0, len(data) - first - len(shown)), problem)


def _line(offset: int, data: bytes) -> HexLine:
    digits = data.hex(" ")
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return HexLine(f"{offset:08x}", digits, text)
