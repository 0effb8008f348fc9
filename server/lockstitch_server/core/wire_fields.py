"""Single fields of serialized messages, found without parsing the rest."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lockstitch_server.core.wire import LENGTH_DELIMITED, MOST_IN_A_BYTE, VARINT

FIXED = {1: 8, 5: 4}
"""Wire types of numbers of a fixed size, with that size."""


class Field(NamedTuple):
    """One field of a message. number: its number in the contract."""

    number: int
    value: int
    """Of a number; 0 otherwise."""
    data: memoryview
    """Of a message, a string or bytes; empty otherwise."""


def fields(data: bytes | memoryview) -> Iterator[Field]:
    """The fields of a message, as far as it is one: they end where it is malformed."""
    view, place = memoryview(data), 0
    try:
        while place < len(view):
            tag, place = _varint(view, place)
            number, kind = tag >> 3, tag & 7
            if kind in FIXED:
                place += FIXED[kind]
            elif kind == VARINT:
                value, place = _varint(view, place)
                yield Field(number, value, view[:0])
            elif kind == LENGTH_DELIMITED:
                size, place = _varint(view, place)
                yield Field(number, 0, view[place : place + size])
                place += size
            else:
                return
    except IndexError:
        return


def at(data: bytes | memoryview, path: Sequence[int]) -> Iterator[Field]:
    """The fields at a path of field numbers, through all messages on the way."""
    first, *rest = path
    for field in fields(data):
        if field.number == first:
            yield from at(field.data, rest) if rest else (field,)


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    number, shift = 0, 0
    while (byte := view[place]) > MOST_IN_A_BYTE:
        number |= (byte & MOST_IN_A_BYTE) << shift
        shift += 7
        place += 1
    return number | byte << shift, place + 1
