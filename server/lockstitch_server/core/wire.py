"""Protobuf's wire format, as far as stored bytes are put together without parsing them."""


def varint(value: int) -> bytes:
    """A number as a base-128 varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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
