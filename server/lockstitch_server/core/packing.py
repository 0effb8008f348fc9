"""Records made smaller: the names of nodes and channels come again and again in them."""

import zlib

SMALLEST = 128
"""Smaller records are kept as they are."""
MARK = b"\0"
"""Begins a packed record; no protobuf message begins so."""
LARGEST = 2**31
WINDOW = -12
"""Of 4 KiB, without a header."""
WORDS = (
    b"checkpoint_idscheduler__start____end__branch:to:stepsourceloopinputparentstask"
    b'Custom("")\x12\x1b\n\n\n\x05extra\x10\x01\n\r\n\x08messages\x10\x01'
    b"R\x0c\x08\xf4\xe5\xcf\xaa\x06\x10Z\x07\x12\x05j\x08messagesj\x05extraj\x06errors"
    b"\x12;\x12\x03\x08\x01\x1a\x03\x08\x01*\x1a\x08\x01\x18\x01 *\x10*\x13\x08\x03\x12\n2\x03"
)
"""What records are likely to hold. Part of the format: it must never change."""


class PackingError(ValueError):
    """What was packed cannot be unpacked."""


def pack(record: bytes) -> bytes:
    """The record, or something smaller that `unpack` makes it from."""
    if len(record) < SMALLEST:
        return record
    compressor = zlib.compressobj(level=1, wbits=WINDOW, memLevel=5, zdict=WORDS)
    packed = MARK + compressor.compress(record) + compressor.flush()
    return packed if len(packed) < len(record) else record


def unpack(stored: bytes) -> bytes:
    """The record that was packed. Raises PackingError."""
    if not stored.startswith(MARK):
        return stored
    try:
        decompressor = zlib.decompressobj(WINDOW, WORDS)
        return decompressor.decompress(stored[len(MARK) :], LARGEST)
    except zlib.error as error:
        raise PackingError from error
