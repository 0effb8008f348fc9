"""Logs: bytes spread over rows as they grow, and beginnings of them read back, or found to be damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core import checksum
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.ids import digest
from lockstitch_server.core.parts import NO_TAIL, RowSizes, Segment, Tail, grow, read_part
from lockstitch_server.records.v1.record_pb2 import Part

SIZES = st.builds(lambda full, more: RowSizes(full, full + more), st.integers(1, 12), st.integers(0, 5))
CHUNKS = st.lists(st.binary(max_size=40), max_size=8)


def grown(chunks: list[bytes], sizes: RowSizes) -> list[Segment]:
    """The rows of a log after these bytes were appended, each in a transaction of its own."""
    rows: list[Segment] = []
    for chunk in chunks:
        tail = Tail(rows[-1].start, len(rows[-1].data), rows[-1].crc) if rows else NO_TAIL
        growth = grow(tail, chunk, sizes)
        if growth.tail is not None:
            start, data, crc = growth.tail
            assert start == rows[-1].start
            rows[-1] = Segment(start, rows[-1].data + data, crc)
        rows.extend(growth.rows)
    return rows


@given(CHUNKS, SIZES)
def test_rows_hold_the_bytes_in_order(chunks: list[bytes], sizes: RowSizes) -> None:
    rows = grown(chunks, sizes)
    assert b"".join(row.data for row in rows) == b"".join(chunks)
    assert [row.start for row in rows] == [sum(len(row.data) for row in rows[:at]) for at in range(len(rows))]
    assert all(row.crc == checksum.crc(row.data) for row in rows)


@given(CHUNKS, SIZES)
def test_rows_are_of_the_size_that_is_wanted(chunks: list[bytes], sizes: RowSizes) -> None:
    lengths = [len(row.data) for row in grown(chunks, sizes)]
    assert all(0 < length <= sizes.most for length in lengths)
    assert all(length >= sizes.full for length in lengths[:-1])


@given(CHUNKS, SIZES, st.data(), st.booleans())
def test_any_beginning_can_be_read(chunks: list[bytes], sizes: RowSizes, data: st.DataObject, signed: bool) -> None:
    whole = b"".join(chunks)
    length = data.draw(st.integers(0, len(whole)))
    part = Part(log=1, length=length, digest=digest(whole[:length]) if signed else b"")
    needed = [row for row in grown(chunks, sizes) if row.start < length]
    assert read_part(part, needed) == whole[:length]


@given(CHUNKS.filter(any), SIZES, st.data(), st.booleans())
def test_damage_is_found(chunks: list[bytes], sizes: RowSizes, data: st.DataObject, signed: bool) -> None:
    whole, rows = b"".join(chunks), grown(chunks, sizes)
    part = Part(log=1, length=len(whole), digest=digest(whole) if signed else b"")
    at = data.draw(st.integers(0, len(rows) - 1))
    start, stored, crc = rows[at]
    changed = bytes([stored[0] ^ 1]) + stored[1:]
    row = data.draw(
        st.sampled_from(
            [[], [Segment(start, changed, crc)], [Segment(start, stored[1:], crc)], [Segment(start + 1, stored, crc)]]
        )
    )
    with pytest.raises(Failure, match="damaged"):
        read_part(part, rows[:at] + row + rows[at + 1 :])


def test_small_parts_are_read_from_the_manifest() -> None:
    assert read_part(Part(inline=b"small"), []) == b"small"
