"""Logs: bytes spread over rows as they grow, and beginnings of them read back, or found to be damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.parts import NO_TAIL, Growth, RowSizes, Segment, Tail, grow, read_part
from lockstitch_server.core.ids import digest
from lockstitch_server.records.v1.record_pb2 import Part

SIZES = st.builds(
    lambda full, more, seals: RowSizes(full, full + more, seals), st.integers(1, 12), st.integers(0, 5), st.booleans()
)
SEALING = SIZES.map(lambda sizes: sizes._replace(seals=True))
CHUNKS = st.lists(st.binary(max_size=40), max_size=8)


def grown(chunks: list[bytes], sizes: RowSizes) -> list[Segment]:
    """The rows of a log after these bytes were appended, each in a transaction of its own."""
    rows: list[Segment] = []
    for chunk in chunks:
        append(rows, grow(tail_of(rows), chunk, sizes))
    return rows


def tail_of(rows: list[Segment]) -> Tail:
    """The last row as a store knows it: without its bytes."""
    return Tail(rows[-1].start, len(rows[-1].data), rows[-1].crc) if rows else NO_TAIL


def append(rows: list[Segment], growth: Growth) -> None:
    if growth.tail is not None:
        start, data, crc = growth.tail
        assert start == rows[-1].start
        rows[-1] = Segment(start, rows[-1].data + data, crc)
    rows.extend(growth.rows)


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


@given(CHUNKS, SIZES)
def test_the_tail_is_known_without_reading_it(chunks: list[bytes], sizes: RowSizes) -> None:
    rows: list[Segment] = []
    tail = NO_TAIL
    for chunk in chunks:
        growth = grow(tail, chunk, sizes)
        append(rows, growth)
        tail = growth.tail_after(tail, sizes)
        assert tail._replace(data=b"") == tail_of(rows)
        grows = bool(rows) and len(rows[-1].data) < sizes.full
        assert tail.data == (rows[-1].data if grows and sizes.seals else b"")


@given(CHUNKS, SEALING)
def test_a_row_is_sealed_when_it_is_full(chunks: list[bytes], sizes: RowSizes) -> None:
    """Once, with all its bytes; one that is full from the beginning needs it not."""
    rows: list[Segment] = []
    sealed: list[Segment] = []
    full_at_once: list[Segment] = []
    tail = NO_TAIL
    for chunk in chunks:
        growth = grow(tail, chunk, sizes)
        append(rows, growth)
        if (row := growth.sealed(tail, sizes)) is not None:
            assert row in rows
            sealed.append(row)
        full_at_once.extend(row for row in growth.rows if len(row.data) >= sizes.full)
        tail = growth.tail_after(tail, sizes)
    assert sorted(sealed + full_at_once) == [row for row in rows if len(row.data) >= sizes.full]


@given(CHUNKS.filter(any), st.binary(max_size=40), SEALING)
def test_a_row_whose_bytes_are_not_known_is_not_sealed(chunks: list[bytes], more: bytes, sizes: RowSizes) -> None:
    rows = grown(chunks, sizes)
    tail = tail_of(rows)
    growth = grow(tail, more, sizes)
    assert growth.sealed(tail, sizes) is None
    append(rows, growth)
    after = growth.tail_after(tail, sizes)
    assert after._replace(data=b"") == tail_of(rows)
    assert after.data in (b"", rows[-1].data)


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
