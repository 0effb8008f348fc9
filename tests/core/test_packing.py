"""Records come out of storage as they went in."""

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format import checksum, dictionaries
from lockstitch_server.core.format.compression import MARK, SMALLEST, PackingError, pack, pack_row, unpack, unpack_row
from lockstitch_server.core.format.parts import named_crc, read_part
from lockstitch_server.records.v1.record_pb2 import Part
from lockstitch_server.storage.columns import segments

rows = st.binary(max_size=600) | st.builds(bytes.__mul__, st.binary(max_size=40), st.integers(0, 500))
records = st.binary(max_size=600).filter(lambda data: not data.startswith(MARK))

KEY = bytes(range(16))


@given(records)
def test_what_is_packed_is_unpacked(record: bytes) -> None:
    assert unpack(pack(record)) == record


@given(records)
def test_packing_never_makes_larger(record: bytes) -> None:
    assert len(pack(record)) <= len(record)


def test_repeated_names_are_made_smaller() -> None:
    record = b"\n\x1b\n\n\n\x05extra\x10\x01\n\r\n\x08messages\x10\x01" * 10
    assert len(record) >= SMALLEST
    assert len(pack(record)) < len(record) / 5


def test_damage_is_noticed() -> None:
    with pytest.raises(PackingError):
        unpack(MARK + b"\xff not compressed")


def test_the_dictionary_never_changes() -> None:
    """It is part of the format: with another one, nothing stored before could be read."""
    assert (len(dictionaries.DICTIONARY), zlib.crc32(dictionaries.DICTIONARY)) == (1747, 1347412838)


def test_a_row_that_was_packed_without_the_dictionary_is_unpacked() -> None:
    data = b"What is a lockstitch? It does not unravel when one t" * 100
    assert unpack_row(PACKED_WITHOUT_DICTIONARY, len(data)) == data


PACKED_WITHOUT_DICTIONARY = bytes.fromhex(
    "0018ed01004403576861742069732061206c6f636b7374697463683f20497420646f6573206e6f7420756e726176656c207768656e206f6e65207401009441b75750"
)


@given(rows)
def test_a_row_that_is_packed_is_unpacked(data: bytes) -> None:
    assert unpack_row(pack_row(data), len(data)) == data


@given(rows)
def test_packing_never_makes_a_row_larger(data: bytes) -> None:
    assert len(pack_row(data)) <= len(data)


def test_a_row_of_text_is_made_smaller() -> None:
    data = b'{"role": "user", "content": "What is a lockstitch?"}' * 160
    assert len(pack_row(data)) < len(data) / 20


@given(st.binary(max_size=300), st.integers(-1, 1000))
def test_whatever_is_stored_becomes_a_row_or_is_refused(stored: bytes, size: int) -> None:
    """Never more than the row had, and nothing else breaks."""
    with suppress(PackingError):
        assert len(unpack_row(stored, size)) <= size


@pytest.mark.parametrize("size", [-1, 0, 2**31, 2**62, 2**63 - 1])
def test_a_size_that_no_row_has_is_refused(size: int) -> None:
    with pytest.raises(PackingError):
        unpack_row(pack_row(bytes(1000)), size)


def test_a_row_cannot_ask_for_memory() -> None:
    """It would say that it has so and so many bytes."""
    with pytest.raises(PackingError):
        unpack_row(b"\xc0" + (2**40).to_bytes(8, "little") + b"\x01\x00\x00", 1000)


@given(rows.filter(lambda data: len(pack_row(data)) < len(data)), st.data())
def test_damage_of_a_row_is_noticed_or_shows_in_its_bytes(data: bytes, draw: st.DataObject) -> None:
    """Its checksum, which is that of its bytes, tells."""
    packed = pack_row(data)
    at, bit = draw.draw(st.integers(0, len(packed) - 1)), draw.draw(st.integers(0, 7))
    flipped = packed[:at] + bytes([packed[at] ^ 1 << bit]) + packed[at + 1 :]
    for damaged in (flipped, packed[:at]):
        crc = named_crc(checksum.crc(data), KEY, 1, 0, len(data))
        (row,) = segments(KEY, 1, [(0, len(data), damaged, crc)])
        with suppress(Failure):  # of which there is one kind
            assert read_part(Part(log=1, length=len(data)), [row]) == data
