"""Merges full rows of a log into larger ones.

Only the last row of a log grows, and saves know nothing of the rows before it. So these can be merged beside saves:
the bytes of the log stay the same, and manifests name bytes, not rows.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.compression import pack_merged_row, unpack_row
from lockstitch_server.core.format.parts import Segment, damaged
from lockstitch_server.core.format.rows import NewRow


class LogRow(NamedTuple):
    """A row of a log without its bytes."""

    start: int
    size: int
    crc: int
    """As it is stored."""

    @property
    def end(self) -> int:
        return self.start + self.size


def groups_to_merge(rows: Sequence[LogRow], target: int) -> list[Sequence[LogRow]]:
    """Neighbors that are worth merging, each group into a row of at most `target` bytes.

    rows: of one log, in order. The last one is left out: it may be the end of the log, which grows. The last group can
    still get more rows, so it is merged when it is half full of smaller rows, and again when it is full.
    """
    *complete, last = _groups(rows[:-1], target)
    found = [group for group in complete if _gain(group) >= target // 8]
    return [*found, last] if _gain(last) >= target // 2 else found


def _groups(rows: Sequence[LogRow], target: int) -> Iterator[Sequence[LogRow]]:
    """All rows in order, in groups of neighbors that fit in a row. Rows that are large enough stay alone."""
    group: list[LogRow] = []
    size = 0
    for row in rows:
        is_large = row.size >= target - target // 8
        if group and (is_large or size + row.size > target or group[-1].end != row.start):
            yield group
            group, size = [], 0
        group.append(row)
        size += row.size
        if is_large:
            yield group
            group, size = [], 0
    yield group


def _gain(group: Sequence[LogRow]) -> int:
    """How many bytes leave a smaller row. Each byte does so a few times at most, however often rows are added."""
    return sum(row.size for row in group) - max((row.size for row in group), default=0)


def merged_row(log: int, segments: Sequence[Segment], level: int) -> NewRow:
    """One row in place of neighbors. level: of zstd. Fails with DATA_LOSS if one of them is damaged."""
    data = bytearray()
    begin = segments[0].start if segments else 0
    for start, piece, crc in segments:
        if start != begin + len(data) or checksum.crc(piece) != crc:
            raise damaged()
        data += piece
    whole = bytes(data)
    packed = pack_merged_row(whole, level)
    if unpack_row(packed, len(whole)) != whole:
        raise RuntimeError("a merged row does not unpack to its bytes")
    return NewRow(log, begin, len(whole), packed, checksum.crc(whole))
