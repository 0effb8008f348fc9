"""As much of protobuf's wire format as it takes to put messages together from parts that are serialized already.

The format promises that fields may come in any order, and that embedded messages are their bytes behind a length.
"""

from collections.abc import Iterator

_MORE = 0x80
_KIND = 0x07
_LONG_OR_KIND = _MORE | _KIND
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}
_SMALL = [bytes([number]) for number in range(_MORE)]


def varint(number: int) -> bytes:
    """A number of 0 and above."""
    if number < _MORE:
        return _SMALL[number]
    data = bytearray()
    while number >= _MORE:
        data.append(number & 0x7F | _MORE)
        number >>= 7
    data.append(number)
    return bytes(data)


def embedded(tag: bytes, data: bytes) -> bytes:
    """A field that holds a message, a string or bytes."""
    return tag + varint(len(data)) + data


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    number = data[place]
    place += 1
    if number < _MORE:
        return number, place
    number, shift = number & 0x7F, 7
    while (byte := data[place]) >= _MORE:
        number |= (byte & 0x7F) << shift
        shift += 7
        place += 1
    return number | byte << shift, place + 1


def fields(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields between two places of a well-formed message: tag, where it begins, where its value does, its end.

    Raises ValueError for groups, which no message of this contract has.
    """
    while place < end:
        begin = place
        tag, size = data[begin], data[begin + 1]
        if size >= _MORE:
            tag, value, place = _field(data, begin)
        elif tag & _LONG_OR_KIND == _LENGTH_DELIMITED:  # short ones, the most frequent, and quickly
            value = begin + 2
            place = value + size
        elif tag & _LONG_OR_KIND == _VARINT:
            value = begin + 1
            place = begin + 2
        else:
            tag, value, place = _field(data, begin)
        yield tag, begin, value, place


def _field(data: bytes, place: int) -> tuple[int, int, int]:
    tag, place = read_varint(data, place)
    kind = tag & _KIND
    if kind == _LENGTH_DELIMITED:
        size, value = read_varint(data, place)
        return tag, value, value + size
    if kind == _VARINT:
        return tag, place, read_varint(data, place)[1]
    if kind in _FIXED:
        return tag, place, place + _FIXED[kind]
    raise ValueError(f"wire type {kind}")
