"""Parts: the named pieces of a state, whose bytes lie in logs.

A part is a list (the serialized items of a repeated field, which protobuf lets one concatenate) or a value. Rows of a
log hold its bytes in order; only the last of them, the tail, still grows.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import checksum
from lockstitch_server.core.ids import digest
from lockstitch_server.records.v1.record_pb2 import Manifest, Part, PartKind

INLINE_BYTES = 64
"""Parts up to this size are stored in the manifest itself."""

LISTS = frozenset({PartKind.PART_KIND_MESSAGES, PartKind.PART_KIND_ERRORS, PartKind.PART_KIND_CUSTOM_LIST})
CUSTOM = frozenset({PartKind.PART_KIND_CUSTOM_EMPTY, PartKind.PART_KIND_CUSTOM_BLOB, PartKind.PART_KIND_CUSTOM_LIST})
NAMED = CUSTOM | {PartKind.PART_KIND_EXTRA}
"""Kinds of which a state may have many parts."""

PartName = tuple["PartKind.ValueType", str]


class DraftPart(NamedTuple):
    """A part of a save, with all its bytes."""

    kind: "PartKind.ValueType"
    key: str
    data: bytes
    shell: bytes = b""

    @property
    def name(self) -> PartName:
        return (self.kind, self.key)


SEGMENT_NAME = struct.Struct(">qqq")


def named_crc(crc: int, key: bytes, log: int, start: int, size: int) -> int:
    """The CRC-32 of a log's bytes as its row holds it, which fits no other row; out of the row's, that of the bytes.

    XOR with a checksum of the name: a row can grow, and be copied to another session, without its bytes being read.
    """
    return crc ^ checksum.crc(key + SEGMENT_NAME.pack(log, start, size))


def moved_crc(source: bytes, target: bytes) -> int:
    """What the checksums of a session's log rows are XORed with when they are copied to another session.

    It is the same for all rows: a CRC is linear.
    """
    return named_crc(named_crc(0, source, 0, 0, 0), target, 0, 0, 0)


class Segment(NamedTuple):
    """A row of a log: its bytes from `start` on, with their CRC-32."""

    start: int
    data: bytes
    crc: int


class Tail(NamedTuple):
    """The last row of a log, without its bytes."""

    start: int
    length: int
    crc: int
    data: bytes = b""
    """Its bytes, if they are known."""

    @property
    def end(self) -> int:
        return self.start + self.length


class RowSizes(NamedTuple):
    """How a store divides logs into rows."""

    full: int
    """A row of this many bytes is full. A row that is full when it is new may be packed."""
    most: int
    """Maximum bytes of a row."""
    seals: bool = False
    """Whether a row that has become full is written again, packed."""


NO_TAIL = Tail(0, 0, 0)
"""Of a log that has no rows yet."""


class Growth(NamedTuple):
    """What appending to a log does to its rows."""

    tail: Segment | None
    """Bytes to add to the row at `start`, and the CRC-32 of the whole row then."""
    rows: list[Segment]
    """New rows."""

    def tail_after(self, before: Tail, sizes: RowSizes) -> Tail:
        """The last row then, with its bytes if they are known and it may go on growing."""
        if self.rows:
            start, data, crc = self.rows[-1]
            return Tail(start, len(data), crc, data if sizes.seals and len(data) < sizes.full else b"")
        if self.tail is not None:
            length, data = before.length + len(self.tail.data), before.data + self.tail.data
            known = length < sizes.full and len(data) == length
            return Tail(before.start, length, self.tail.crc, data if known else b"")
        return before

    def sealed(self, before: Tail, sizes: RowSizes) -> Segment | None:
        """The whole of a row that has grown full now, if its bytes are known."""
        if self.tail is None or not sizes.seals or len(before.data) != before.length:
            return None
        data = before.data + self.tail.data
        return Segment(before.start, data, self.tail.crc) if len(data) >= sizes.full else None


def grow(tail: Tail, data: bytes, sizes: RowSizes) -> Growth:
    """Spread `data` over the tail, if it is not full, and new rows."""
    taken, update = 0, None
    if 0 < tail.length < sizes.full:
        # A little over full is better than a small row, unless much comes, which can be packed.
        left = sizes.full - tail.length
        taken = min(len(data) if len(data) < left + sizes.full else left, sizes.most - tail.length)
        piece = data[:taken]
        update = Segment(tail.start, piece, checksum.crc(piece, tail.crc))
    rows = []
    for offset in range(taken, len(data), sizes.most):
        piece = data[offset : offset + sizes.most]
        rows.append(Segment(tail.end + offset, piece, checksum.crc(piece)))
    return Growth(update, rows)


class PartBytes(Protocol):
    """Where the bytes of a part are."""

    @property
    def log(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def inline(self) -> bytes: ...


def part_size(part: Part) -> int:
    """How many bytes a part has."""
    return part.length if part.log else len(part.inline)


def state_size(manifest: Manifest) -> int:
    """How many bytes the state of a manifest has."""
    size = len(manifest.shell) + len(manifest.messages) + len(manifest.extra) + len(manifest.errors)
    return size + sum(part_size(part) + len(part.key) + len(part.shell) for part in manifest.parts)


def read_part(part: PartBytes, segments: Sequence[Segment]) -> bytes:
    """The bytes of a part out of the rows of its log, checked. Fails with DATA_LOSS."""
    return b"".join(read_pieces(part, segments))


def read_pieces(part: PartBytes, segments: Sequence[Segment]) -> Sequence[bytes]:
    """The same, as pieces that are not joined."""
    if not part.log:
        return (part.inline,)
    pieces = _pieces(segments, part.length, verify=not part.digest)
    if sum(map(len, pieces)) != part.length or (part.digest and digest(*pieces) != part.digest):
        raise damaged()
    return pieces


def damaged() -> Failure:
    """The failure of a read of damaged bytes."""
    return Failure(Reason.DATA_LOSS, "stored bytes of this checkpoint are missing or damaged")


def _pieces(segments: Iterable[Segment], length: int, *, verify: bool) -> list[bytes]:
    """The bytes of rows, one behind the other, up to `length` of them."""
    end, pieces = 0, []
    for start, data, crc in segments:
        if start != end or (verify and checksum.crc(data) != crc):
            raise damaged()
        end += len(data)
        pieces.append(data if end <= length else data[: length - end])
        if end >= length:
            break
    return pieces
