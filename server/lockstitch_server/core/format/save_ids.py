"""The ids of a checkpoint's saves: the last save of each of its last writers, newest first.

Each record has them, so they must be small: 5 bytes of the writer, little-endian, and the number as a varint. Writers
are random, and only those of one checkpoint must differ.
"""

from typing import NamedTuple

from lockstitch_server.core.wire.encode import varint

MOST_WRITERS = 4
WRITER_BYTES = 5


class SaveId(NamedTuple):
    """Identifies one save of one client."""

    writer: int
    """Of WRITER_BYTES bytes: see `save_id`."""
    number: int


def save_id(writer: int, number: int) -> SaveId:
    """The id out of a request."""
    return SaveId(writer % 2 ** (8 * WRITER_BYTES), number)


def pack(ids: list[SaveId]) -> bytes:
    """The bytes for a record."""
    return b"".join(writer.to_bytes(WRITER_BYTES, "little") + varint(number) for writer, number in ids)


def unpack(data: bytes) -> list[SaveId]:
    """The saves of a record."""
    ids, place = list[SaveId](), 0
    while place + WRITER_BYTES < len(data):
        writer = int.from_bytes(data[place : place + WRITER_BYTES], "little")
        number, place = _varint(data, place + WRITER_BYTES)
        ids.append(SaveId(writer, number))
    return ids


def with_save(data: bytes, save: SaveId | None) -> bytes:
    """The saves of a record after one more. A save without an id leaves them as they are."""
    if save is None:
        return data
    if not data:
        return pack([save])
    others = [each for each in unpack(data) if each.writer != save.writer]
    return pack([save, *others][:MOST_WRITERS])


def has_save(data: bytes, save: SaveId) -> bool:
    """Whether the checkpoint has had exactly this save, as the last one of its writer."""
    return bool(data) and save in unpack(data)


def is_superseded(data: bytes, save: SaveId) -> bool:
    """Whether the checkpoint has had a later save of the same writer, or another save after this one."""
    for place, (writer, number) in enumerate(unpack(data)):
        if writer == save.writer:
            return number > save.number or (number == save.number and place > 0)
    return False


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    number = shift = 0
    while place < len(data):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return number, place
