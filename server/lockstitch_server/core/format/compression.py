"""Compression of records and of rows of logs.

Records and small rows share much text, which a dictionary contains.
"""

import threading
from collections.abc import Callable

import zstandard

from lockstitch_server.core.format import dictionaries

SMALLEST = 128
"""Smaller records are not compressed."""
MARK = b"\1"
"""First byte of data packed with the dictionary. No protobuf message, and no row packed without it, begins so."""
RECORD_LEVEL, ROW_LEVEL = 3, 1
"""Higher levels take more time and save little space."""
OWN_SIZE = 0b1110_0000
"""Bits in the first byte of a frame that contains its size. No packed row contains it."""
LARGE_ROW = 4096
"""A row of this many bytes or more is packed without the dictionary: it repeats enough text of its own."""
LARGEST_ROW = 2**24
"""No row of a log has more bytes."""


class PackingError(ValueError):
    """Packed bytes cannot be unpacked."""


class _Codec(threading.local):
    """Compressors, which hold state: each thread has its own."""

    def __init__(self) -> None:
        plain = zstandard.FORMAT_ZSTD1_MAGICLESS
        dictionary = zstandard.ZstdCompressionDict(dictionaries.DICTIONARY, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        self.pack_record = zstandard.ZstdCompressor(
            dict_data=dictionary, compression_params=_parameters(RECORD_LEVEL, write_content_size=True)
        ).compress
        row = _parameters(ROW_LEVEL, write_content_size=False)
        self.pack_row = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=row).compress
        self.pack_large_row = zstandard.ZstdCompressor(compression_params=row).compress
        self.merged_row_packers: dict[int, Callable[[bytes], bytes]] = {}
        """By level."""
        self.unpack = zstandard.ZstdDecompressor(dict_data=dictionary, format=plain).decompress
        self.unpack_large_row = zstandard.ZstdDecompressor(format=plain).decompress


def _parameters(level: int, *, write_content_size: bool) -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(
        level,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=write_content_size,
        write_checksum=False,
        write_dict_id=False,
    )


_codec = _Codec()


def pack(record: bytes) -> bytes:
    """The record, compressed if that makes it smaller."""
    if len(record) < SMALLEST:
        return record
    packed = _codec.pack_record(record)
    return MARK + packed if len(packed) + len(MARK) < len(record) else record


def unpack(stored: bytes) -> bytes:
    """The record that was packed. Raises PackingError."""
    if stored.startswith(MARK):
        return _unpacked(_codec.unpack, stored[len(MARK) :])
    return stored


def pack_row(data: bytes) -> bytes:
    """The data, compressed if that makes it smaller."""
    packed = MARK + _codec.pack_row(data) if len(data) < LARGE_ROW else _codec.pack_large_row(data)
    return packed if len(packed) < len(data) else data


def pack_merged_row(data: bytes, level: int) -> bytes:
    """The same for a row that other rows were merged into. It may take longer: no save waits for it."""
    packers = _codec.merged_row_packers
    if level not in packers:
        parameters = _parameters(level, write_content_size=False)
        packers[level] = zstandard.ZstdCompressor(compression_params=parameters).compress
    packed = packers[level](data)
    return packed if len(packed) < len(data) else data


def unpack_row(stored: bytes, size: int) -> bytes:
    """The `size` bytes that were stored. Raises PackingError."""
    if len(stored) == size:
        return stored
    if stored.startswith(MARK):
        return _row(_codec.unpack, stored[len(MARK) :], size)
    return _row(_codec.unpack_large_row, stored, size)


def _row(decompress: Callable[..., bytes], frame: bytes, size: int) -> bytes:
    if not 0 < size <= LARGEST_ROW or not frame or frame[0] & OWN_SIZE:  # damaged: it could ask for any memory
        raise PackingError
    return _unpacked(decompress, frame, size)


def _unpacked(decompress: Callable[..., bytes], *arguments: bytes | int) -> bytes:
    try:
        return decompress(*arguments)
    except zstandard.ZstdError as error:
        raise PackingError from error
