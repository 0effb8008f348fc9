"""The saves of a checkpoint, as its record holds them."""

from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.format.save_ids import (
    MOST_WRITERS,
    WRITER_BYTES,
    SaveId,
    has_save,
    is_superseded,
    pack,
    save_id,
    unpack,
    with_save,
)

IDS = st.builds(SaveId, st.integers(0, 2 ** (8 * WRITER_BYTES) - 1), st.integers(1, 2**64 - 1))
SAVES = st.lists(st.builds(SaveId, st.integers(1, 6), st.integers(1, 400)) | st.none(), max_size=20)


@given(st.lists(IDS, max_size=MOST_WRITERS))
def test_come_back(ids: list[SaveId]) -> None:
    assert unpack(pack(ids)) == ids


@given(SAVES)
def test_are_the_last_of_the_last_writers(saves: list[SaveId | None]) -> None:
    data = b""
    for save in saves:
        data = with_save(data, save)
    newest_first = [save for save in reversed(saves) if save is not None]
    last = {save.writer: save for save in reversed(newest_first)}
    assert unpack(data) == [last[writer] for writer in dict.fromkeys(save.writer for save in newest_first)][:4]
    for save in filter(None, saves):
        if last[save.writer] in unpack(data):
            assert has_save(data, save) == (save == last[save.writer])
            assert is_superseded(data, save._replace(number=last[save.writer].number - 1))
            assert not is_superseded(data, save._replace(number=last[save.writer].number + 1))
            assert is_superseded(data, last[save.writer]) == (last[save.writer] != newest_first[0])


@given(st.binary(max_size=40))
def test_any_bytes_can_be_read(data: bytes) -> None:
    unpack(data)


def test_take_little_room() -> None:
    assert len(pack([save_id(2**64 - 1, 16_383)])) == 7
