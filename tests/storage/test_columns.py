"""Checksums of rows stay valid when a later release adds columns."""

from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.storage.columns import NO_SETTINGS, settings_checksum
from lockstitch_server.storage.tables import SETTINGS

KEY = bytes(range(16))
settings = st.tuples(st.text(max_size=9), *[st.none() | st.integers() | st.binary(max_size=9)] * (len(SETTINGS) - 1))


@given(settings, st.integers(0, 3))
def test_a_column_without_a_value_leaves_the_checksum_as_it_was(stored: tuple[object, ...], added: int) -> None:
    if stored != NO_SETTINGS:
        assert settings_checksum(KEY, (*stored, *[None] * added)) == settings_checksum(KEY, stored)


@given(settings, st.integers(1, 2**40))
def test_a_value_in_a_new_column_is_covered(stored: tuple[object, ...], value: int) -> None:
    assert settings_checksum(KEY, (*stored, value)) != settings_checksum(KEY, (*stored, value + 1))


def test_damaged_columns_have_a_checksum_too() -> None:
    assert settings_checksum(KEY, [None] * len(SETTINGS)) is not None
