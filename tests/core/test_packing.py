"""Records come out of storage as they went in."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.packing import MARK, SMALLEST, WORDS, PackingError, pack, unpack

records = st.binary(max_size=600).filter(lambda data: not data.startswith(MARK))


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
        unpack(MARK + b"\xff not deflated")


def test_the_words_never_change() -> None:
    """They are part of the format: with others, nothing stored before could be read."""
    assert (len(WORDS), zlib.crc32(WORDS)) == WORDS_AS_RELEASED


WORDS_AS_RELEASED = (180, 49556461)
