"""Which rows of a log are merged, and what comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.compression import unpack_row
from lockstitch_server.core.format.merging import LogRow, groups_to_merge, merged_row
from lockstitch_server.core.format.parts import RowSizes, Segment, Tail, grow
from lockstitch_server.storage.postgres.store import ROW_SIZES as POSTGRES
from lockstitch_server.storage.sqlite.store import ROW_SIZES as SQLITE

TARGET = 65_536
backends = pytest.mark.parametrize("sizes", [SQLITE, POSTGRES], ids=["sqlite", "postgres"])
appends = st.lists(st.one_of(st.integers(1, 3000), st.integers(1, 150_000)), min_size=1, max_size=30)


def rows_of(sizes: RowSizes, lengths: list[int]) -> list[LogRow]:
    """The rows of a log to which this many bytes were appended at a time."""
    starts: dict[int, int] = {}
    for length in lengths:
        last = max(starts, default=0)
        growth = grow(Tail(last, starts.get(last, 0), 0), bytes(length), sizes)
        if growth.tail is not None:
            starts[last] += len(growth.tail.data)
        for start, data, _ in growth.rows:
            starts[start] = len(data)
    return [LogRow(start, starts[start], number) for number, start in enumerate(sorted(starts))]


def merged(rows: list[LogRow], target: int = TARGET) -> list[LogRow]:
    """The rows once."""
    left = {row.start: row for row in rows}
    for group in groups_to_merge(rows, target):
        for row in group:
            del left[row.start]
        left[group[0].start] = LogRow(group[0].start, sum(row.size for row in group), -1)
    return [left[start] for start in sorted(left)]


def settled(rows: list[LogRow]) -> list[LogRow]:
    """The rows when nothing is left to merge."""
    for _ in range(10):
        after = merged(rows)
        if after == rows:
            return rows
        rows = after
    raise AssertionError("merging does not come to an end")


@backends
@given(lengths=appends)
def test_groups_are_neighbors_without_the_last_row(sizes: RowSizes, lengths: list[int]) -> None:
    rows = rows_of(sizes, lengths)
    for group in groups_to_merge(rows, TARGET):
        first = rows.index(group[0])
        assert list(group) == rows[first : first + len(group)]
        assert len(group) > 1
        assert rows[-1] not in group
        # Saves add to a last row below `full`, which must not be packed. A copy can end with any row.
        assert sizes.full <= sum(row.size for row in group) <= TARGET


@backends
@given(lengths=appends)
def test_merging_ends_and_leaves_few_small_rows(sizes: RowSizes, lengths: list[int]) -> None:
    rows = rows_of(sizes, lengths)
    after = settled(rows)
    assert after[-1] == rows[-1]
    assert [row.start for row in after] == [0, *(row.end for row in after[:-1])]
    assert after[-1].end == rows[-1].end
    if max(lengths) <= 3000:
        assert len(after) <= rows[-1].end // (TARGET // 2) + TARGET // sizes.full + 2


@backends
def test_each_byte_is_merged_a_few_times_at_most(sizes: RowSizes) -> None:
    """However often rows are merged while the log grows."""
    rows, lengths, rewritten = list[LogRow](), list[int](), 0
    for _ in range(600):
        lengths.append(1100)
        new = rows_of(sizes, lengths)
        # Rows that are merged stay so.
        covered = {row.start: row for row in rows if row.crc == -1}
        rows = [
            *covered.values(),
            *(row for row in new if not any(each.start <= row.start < each.end for each in covered.values())),
        ]
        rows.sort()
        for group in groups_to_merge(rows, TARGET):
            rewritten += sum(row.size for row in group)
        rows = merged(rows)
    assert 0.7 * sum(lengths) < rewritten < 2 * sum(lengths)


def test_a_gap_is_not_merged_over() -> None:
    rows = [LogRow(start, 8000, 0) for start in range(0, 80_000, 8000)]
    del rows[3]
    for group in groups_to_merge(rows, TARGET):
        assert [row.start for row in group] == [group[0].start + 8000 * number for number in range(len(group))]


pieces = st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=30)


@given(pieces=pieces, start=st.integers(0, 2**30), level=st.sampled_from([1, 9, 19]))
def test_a_merged_row_holds_all_bytes(pieces: list[bytes], start: int, level: int) -> None:
    row = merged_row(3, segments_of(start, pieces), level)
    data = b"".join(pieces)
    assert (row.log, row.start, row.size, row.crc) == (3, start, len(data), checksum.crc(data))
    assert unpack_row(row.data, row.size) == data
    assert len(row.data) <= row.size


def test_text_is_packed_smaller_in_one_row() -> None:
    text = [f"The {number}th of some messages that are much alike. ".encode() * 30 for number in range(40)]
    row = merged_row(1, segments_of(0, text), 9)
    assert len(row.data) < row.size / 4


@given(pieces=pieces, data=st.data())
def test_damaged_rows_are_not_merged(pieces: list[bytes], data: st.DataObject) -> None:
    segments = segments_of(0, pieces)
    number = data.draw(st.integers(0, len(segments) - 1))
    start, piece, crc = segments[number]
    flipped = bytes([piece[0] ^ 1, *piece[1:]])
    wrong = data.draw(st.sampled_from([(start, flipped, crc), (start, piece, crc ^ 1)]))
    segments[number] = Segment(*wrong)
    with pytest.raises(Failure) as failed:
        merged_row(1, segments, 1)
    assert failed.value.reason is Reason.DATA_LOSS


def test_a_missing_row_is_noticed() -> None:
    segments = segments_of(0, [b"one", b"two", b"three"])
    with pytest.raises(Failure):
        merged_row(1, [segments[0], segments[2]], 1)


def segments_of(start: int, pieces: list[bytes]) -> list[Segment]:
    found = []
    for piece in pieces:
        found.append(Segment(start, piece, checksum.crc(piece)))
        start += len(piece)
    return found
