"""Pending writes as rows.

Small writes of one task that cannot be replaced share a row. The columns of the row are those of its first write. Its
bytes begin with a mark, the number of writes, and their indices and sizes, so that sizes can be read without the rest.
The messages follow, packed, without the fields that have columns. A row without the mark holds one message as it came,
because its fields are in another order.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

from google.protobuf.message import DecodeError

from lockstitch.v1.checkpoint_pb2 import PendingWrite
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.compression import PackingError, pack, unpack
from lockstitch_server.core.format.parts import damaged
from lockstitch_server.core.format.rows import NewWrite, WriteRow, WriteSize
from lockstitch_server.core.wire.encode import MOST_IN_A_BYTE, VARINT, tag, text, varint

MARK = b"\0"
"""No protobuf message begins with this byte."""
MOST_WRITES, MOST_BYTES = 8, 2048
"""Maximum writes of a row, and the maximum bytes of a write that shares a row."""
NUMBER_BYTES = 5
"""An index or a size has no more: it is less than 2^31."""
HEAD_BYTES = len(MARK) + 1 + (2 * MOST_WRITES - 1) * NUMBER_BYTES
"""Maximum bytes of the mark, the number, the indices and the sizes."""
INDEX = tag(PendingWrite.INDEX_FIELD_NUMBER, VARINT)


class _Head(NamedTuple):
    """How a row begins."""

    writes: list[tuple[int, int]]
    """Index and size of each message."""
    length: int
    """Of the head itself."""


def new_write(namespace: str, checkpoint_id: str, write: PendingWrite, message: bytes | None = None) -> NewWrite:
    """A write of a request. message: the same, serialized, if that is known."""
    message = write.SerializeToString() if message is None else message
    return NewWrite(namespace, checkpoint_id, write.task_id, write.index, write.task_path, write.channel, message)


def rows_of(key: bytes, writes: Iterable[NewWrite]) -> list[WriteRow]:
    """The rows of different writes of a session."""
    return [_row(key, group) for group in _groups(writes)]


def writes_of(row: WriteRow) -> list[NewWrite]:
    """The writes of a row. Fails with DATA_LOSS."""
    if write_checksum(row) != row.crc:
        raise damaged()
    if not row.data.startswith(MARK):
        return [NewWrite(*row[1:8])]
    head = _head(row.task_index, row.data)
    try:
        return list(_unpacked(row, head, unpack(row.data[head.length :])))
    except (PackingError, DecodeError) as error:
        raise damaged() from error


def sizes_of(task_id: str, task_index: int, beginning: bytes, stored: int, crc: int) -> list[WriteSize]:
    """The writes of a row of `stored` bytes, of which these are the first.

    The row's bytes and checksum count for the first write.
    """
    if not beginning.startswith(MARK):
        return [WriteSize(task_id, task_index, stored, stored, crc)]
    writes = _head(task_index, beginning).writes
    first, *others = writes
    return [
        WriteSize(task_id, *first, stored, crc),
        *[WriteSize(task_id, index, size, 0, 0) for index, size in others],
    ]


def messages_of(rows: Iterable[WriteRow]) -> dict[tuple[str, int], bytes]:
    """The messages of writes by (task_id, index). Damaged rows are left out."""
    messages = {}
    for row in rows:
        with suppress(Failure):
            messages.update({(write.task_id, write.task_index): write.message for write in writes_of(row)})
    return messages


def in_order(rows: Iterable[WriteRow]) -> list[NewWrite]:
    """The writes of a checkpoint by (task_path, task_id, index). Fails with DATA_LOSS."""
    # Strings compare as their UTF-8 bytes do.
    writes = chain.from_iterable(map(writes_of, rows))
    return sorted(writes, key=lambda write: (write.task_path, write.task_id, write.task_index))


# To rows


def _groups(writes: Iterable[NewWrite]) -> Iterable[Sequence[NewWrite]]:
    """Writes that share a row."""
    groups: dict[tuple[object, ...], list[NewWrite]] = {}
    for number, write in enumerate(writes):
        name: tuple[object, ...] = (write.namespace, write.checkpoint_id, write.task_id, write.task_path)
        if write.task_index < 0 or len(write.message) > MOST_BYTES or not _is_usual(write):
            name = (number,)  # it may be replaced, or is better read alone
        elif len(groups.get(name, ())) == MOST_WRITES:
            groups[(*name, number)] = groups.pop(name)
        groups.setdefault(name, []).append(write)
    return groups.values()


def _is_usual(write: NewWrite) -> bool:
    """Whether the message begins with the fields that have columns. Some encoders order fields otherwise."""
    return write.message.startswith(_fields(write, write.task_index, write.channel))


def _row(key: bytes, writes: Sequence[NewWrite]) -> WriteRow:
    first = writes[0]
    row = WriteRow(key, *first, 0)
    if not _is_usual(first):
        return row._replace(crc=write_checksum(row))
    head = [MARK, varint(len(writes)), varint(len(first.message))]
    for write in writes[1:]:
        head += varint(write.task_index), varint(len(write.message))
    body = b"".join(
        write.message[len(_fields(write, write.task_index, "" if number else write.channel)) :]
        for number, write in enumerate(writes)
    )
    row = row._replace(data=b"".join(head) + pack(body))
    return row._replace(crc=write_checksum(row))


# From rows


def _unpacked(row: WriteRow, head: _Head, body: bytes) -> Iterator[NewWrite]:
    start = 0
    for number, (index, size) in enumerate(head.writes):
        fields = _fields(row, index, "" if number else row.channel)
        end = start + size - len(fields)
        if not start <= end <= len(body):
            raise damaged()
        message = fields + body[start:end]
        channel = PendingWrite.FromString(message).channel if number else row.channel
        yield NewWrite(*row[1:4], index, row.task_path, channel, message)
        start = end
    if start != len(body):
        raise damaged()


def _head(first_index: int, data: bytes) -> _Head:
    """The head of a row. A damaged one gives any values, but no error."""
    count, place = _number(data, len(MARK))
    size, place = _number(data, place)
    writes = [(first_index, size)]
    for _ in range(min(count, MOST_WRITES) - 1):
        index, place = _number(data, place)
        size, place = _number(data, place)
        writes.append((index, size))
    return _Head(writes, place)


def _number(data: bytes, start: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = place = 0
    for place, byte in enumerate(data[start : start + NUMBER_BYTES]):
        value |= (byte & MOST_IN_A_BYTE) << 7 * place
        if byte <= MOST_IN_A_BYTE:
            break
    return value, start + place + 1


def _fields(write: WriteRow | NewWrite, index: int, channel: str) -> bytes:
    """The bytes of the fields that have columns, with which the message begins."""
    zigzag = index << 1 if index >= 0 else (-index << 1) - 1
    number = INDEX + varint(zigzag) if index else b""
    return text(1, write.task_id) + text(2, write.task_path) + number + text(4, channel)


def write_checksum(row: WriteRow) -> int:
    """CRC-32 over all columns."""
    names = (row.namespace, row.checkpoint_id, row.task_id, str(row.task_index), row.task_path, row.channel)
    return checksum.crc("\0".join(names).encode() + b"\0" + row.data) ^ checksum.crc(row.key)


def moved_write_checksum(source: bytes, target: bytes) -> int:
    """What the checksums of a session's pending writes are XORed with when they are copied to another session."""
    return checksum.crc(source) ^ checksum.crc(target)
