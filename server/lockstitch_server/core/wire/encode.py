"""The part of protobuf's wire format that puts stored bytes together without parsing them."""

from collections.abc import Sequence

MOST_IN_A_BYTE = 0x7F
"""The greatest number that is one byte as a varint, in which only the last byte is not above this."""
_SMALL = [bytes([number]) for number in range(0x80)]


def varint(value: int) -> bytes:
    """A number as a base-128 varint."""
    if value <= MOST_IN_A_BYTE:
        return _SMALL[value]
    if value < 0x4000:
        return bytes((value & MOST_IN_A_BYTE | 0x80, value >> 7))
    out = bytearray()
    while value > MOST_IN_A_BYTE:
        out.append(value & MOST_IN_A_BYTE | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


VARINT, LENGTH_DELIMITED = 0, 2
"""Wire types."""


def tag(number: int, wire_type: int = LENGTH_DELIMITED) -> bytes:
    """What stands before a field."""
    return varint(number << 3 | wire_type)


def nested(number: int, pieces: Sequence[bytes]) -> list[bytes]:
    """A field like that of `delimited`, not joined yet, so that large content is copied only once, at the end."""
    return [varint(number << 3 | 2) + varint(sum(map(len, pieces))), *pieces]


def delimited(number: int, *chunks: bytes) -> bytes:
    """A length-delimited field (message, string, bytes) whose content is the chunks in a row."""
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return varint(number << 3 | 2) + varint(len(body)) + body


def text(number: int, value: str) -> bytes:
    """A string field; nothing where it is empty, as proto3 has it."""
    return delimited(number, value.encode()) if value else b""


def unsigned(number: int, value: int) -> bytes:
    """An unsigned number field; nothing where it is 0."""
    return varint(number << 3) + varint(value) if value else b""
