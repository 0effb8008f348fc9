"""Bytes made smaller before they are stored.

Records share many words, which a dictionary holds; rows of logs are text more often than not.
"""

import threading

import zstandard

WORDS = (
    b"checkpoint_idscheduler__start____end__branch:to:stepsourceloopinputparentstask"
    b'Custom("")\x12\x1b\n\n\n\x05extra\x10\x01\n\r\n\x08messages\x10\x01'
    b"R\x0c\x08\xf4\xe5\xcf\xaa\x06\x10Z\x07\x12\x05j\x08messagesj\x05extraj\x06errors"
    b"\x12;\x12\x03\x08\x01\x1a\x03\x08\x01*\x1a\x08\x01\x18\x01 *\x10*\x13\x08\x03\x12\n2\x03"
)
"""What records are likely to hold. Part of the format: it must never change."""
SMALLEST = 128
"""Smaller records are kept as they are."""
MARK = b"\0"
"""Begins a packed record; no protobuf message begins so."""
LEVEL = 1
OWN_SIZE = 0b1110_0000
"""Bits in the first byte of a frame that tells its size itself, as no packed row does."""
LARGEST_ROW = 2**24
"""More than any row of a log has."""


class PackingError(ValueError):
    """What was packed cannot be unpacked."""


class _Codec(threading.local):
    """Compressors, which hold state: each thread has its own."""

    def __init__(self) -> None:
        words = zstandard.ZstdCompressionDict(WORDS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        plain = zstandard.FORMAT_ZSTD1_MAGICLESS
        self.pack_record = zstandard.ZstdCompressor(
            dict_data=words, compression_params=_parameters(write_content_size=True)
        ).compress
        self.unpack_record = zstandard.ZstdDecompressor(dict_data=words, format=plain).decompress
        self.pack_row = zstandard.ZstdCompressor(compression_params=_parameters(write_content_size=False)).compress
        self.unpack_row = zstandard.ZstdDecompressor(format=plain).decompress


def _parameters(*, write_content_size: bool) -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=write_content_size,
        write_checksum=False,
        write_dict_id=False,
    )


_codec = _Codec()


def pack(record: bytes) -> bytes:
    """The record, or something smaller that `unpack` makes it from."""
    if len(record) < SMALLEST:
        return record
    packed = _codec.pack_record(record)
    return MARK + packed if len(packed) + len(MARK) < len(record) else record


def unpack(stored: bytes) -> bytes:
    """The record that was packed. Raises PackingError."""
    if not stored.startswith(MARK):
        return stored
    try:
        return _codec.unpack_record(stored[len(MARK) :])
    except zstandard.ZstdError as error:
        raise PackingError from error


def pack_row(data: bytes) -> bytes:
    """The data, or something smaller that `unpack_row` makes it from."""
    packed = _codec.pack_row(data)
    return packed if len(packed) < len(data) else data


def unpack_row(stored: bytes, size: int) -> bytes:
    """The `size` bytes that were stored. Raises PackingError."""
    if len(stored) == size:
        return stored
    if not 0 < size <= LARGEST_ROW or not stored or stored[0] & OWN_SIZE:  # damaged: it could ask for any memory
        raise PackingError
    try:
        return _codec.unpack_row(stored, size)
    except zstandard.ZstdError as error:
        raise PackingError from error
