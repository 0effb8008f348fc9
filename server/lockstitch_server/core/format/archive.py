"""The file format of an export: a first line, then frames with checksums.

A frame is the length of its message and a CRC-32 of it, 4 bytes each, big-endian, and an ArchiveFrame.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from google.protobuf.message import DecodeError

from lockstitch_server.records.v1.archive_pb2 import ArchiveFrame

FORMAT = 1
FIRST_LINE = b"lockstitch archive\n"
PREFIX_BYTES = 8
PIECE_BYTES = 1024 * 1024
"""Maximum bytes of a log in a frame."""
LARGEST_FRAME = 1024 * 1024 * 1024


class ArchiveInvalid(Exception):
    """A file is not a complete archive. The message says what is wrong, and where."""


def encode(frame: ArchiveFrame) -> bytes:
    """The bytes of a frame in the file."""
    data = frame.SerializeToString()
    return len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big") + data


def frames(file: BinaryIO) -> Iterator[ArchiveFrame]:
    """The frames of a file, from the header to the end. Raises ArchiveInvalid: it is damaged, cut off, or goes on."""
    if file.read(len(FIRST_LINE)) != FIRST_LINE:
        raise ArchiveInvalid("this is no Lockstitch archive")
    place = len(FIRST_LINE)
    while prefix := file.read(PREFIX_BYTES):
        frame, size = _frame(file, prefix, place)
        place += PREFIX_BYTES + size
        if frame.WhichOneof("frame") == "end":
            if file.read(1):
                raise ArchiveInvalid(
                    f"the archive ends at byte {place}, but the file goes on: import each archive alone"
                )
            yield frame
            return
        yield frame
    raise ArchiveInvalid(f"the archive is cut off at byte {place}")


def _frame(file: BinaryIO, prefix: bytes, place: int) -> tuple[ArchiveFrame, int]:
    size = int.from_bytes(prefix[:4], "big")
    data = file.read(size) if len(prefix) == PREFIX_BYTES and size <= LARGEST_FRAME else b""
    if len(prefix) < PREFIX_BYTES or (len(data) < size and size <= LARGEST_FRAME):
        raise ArchiveInvalid(f"the archive is cut off in the frame at byte {place}")
    if zlib.crc32(data) != int.from_bytes(prefix[4:], "big"):
        raise ArchiveInvalid(f"the frame at byte {place} is damaged")
    try:
        return ArchiveFrame.FromString(data), size
    except DecodeError as error:
        raise ArchiveInvalid(f"the frame at byte {place} cannot be read") from error


def check_header(frame: ArchiveFrame) -> None:
    """Raises ArchiveInvalid for an archive that this program cannot read."""
    if frame.WhichOneof("frame") != "header":
        raise ArchiveInvalid("the archive does not begin with a header")
    if frame.header.format != FORMAT:
        raise ArchiveInvalid(f"the archive has format {frame.header.format}; this program reads format {FORMAT}")


def pieces(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Bytes in pieces that fit in frames, each with its start."""
    return ((start, data[start : start + PIECE_BYTES]) for start in range(0, len(data), PIECE_BYTES))
