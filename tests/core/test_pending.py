"""Pending writes come out of their rows as they went in, or not at all."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import PendingWrite, TypedBlob
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.content import xor_of
from lockstitch_server.core.format.pending_writes import (
    HEAD_BYTES,
    MARK,
    MOST_WRITES,
    in_order,
    moved_write_checksum,
    new_write,
    rows_of,
    sizes_of,
    write_checksum,
    writes_of,
)
from lockstitch_server.core.format.rows import NewWrite, WriteRow

KEY = bytes(16)
NEWER = b"\xfa\x3e\x03new"
"""A field of a contract to come."""
AI_MESSAGE = (
    b"\x91\xc8\x00\xd0\x05\x94\xbalangchain_core.messages.ai\xa9AIMessage\x89\xa7content\xa5hello\xb1additional_kwargs\x80"
    b"\xb1response_metadata\x80\xa4type\xa2ai\xa4name\xc0\xa2id\xd9$f0765d59-95ec-48f7-922d-7eab6d4b5cad"
    b"\xaatool_calls\x90\xb2invalid_tool_calls\x90\xaeusage_metadata\xc0\xb3model_validate_json"
)
writes = st.builds(
    PendingWrite,
    task_id=st.text(min_size=1, max_size=40),
    task_path=st.text(max_size=40),
    index=st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 2),
    channel=st.text(max_size=20),
    value=st.none()
    | st.builds(TypedBlob, type=st.text(max_size=9), data=st.binary(max_size=400) | st.just(AI_MESSAGE * 3)),
)


tasks = st.lists(
    st.builds(
        PendingWrite,
        task_id=st.sampled_from(["a", "b"]),
        task_path=st.sampled_from(["", "p"]),
        index=st.integers(-2, 30) | st.integers(-(2**31), 2**31 - 1),
        channel=st.text(max_size=5),
        value=st.none() | st.builds(TypedBlob, data=st.binary(max_size=40) | st.just(bytes(5000))),
    ),
    unique_by=lambda write: (write.task_id, write.index),
    max_size=30,
)


def new(write: PendingWrite, message: bytes | None = None) -> NewWrite:
    return new_write("namespace", "checkpoint", write, message)


def row(write: PendingWrite, message: bytes | None = None) -> WriteRow:
    (made,) = rows_of(KEY, [new(write, message)])
    return made


def sizes(stored: Iterable[WriteRow]) -> dict[tuple[str, int], int]:
    rows = list(stored)
    found = [size for row in rows for size in sizes_of(*row[3:5], row.data[:HEAD_BYTES], len(row.data), row.crc)]
    assert xor_of(size.crc for size in found) == xor_of(row.crc for row in rows)
    assert sum(size.stored for size in found) == sum(len(row.data) for row in rows)
    return {(size.task_id, size.task_index): size.size for size in found}


@given(writes)
def test_a_write_comes_back(write: PendingWrite) -> None:
    stored = row(write)
    (back,) = writes_of(stored)
    assert back == new(write)
    assert back.message == write.SerializeToString()
    assert sizes([stored]) == {(write.task_id, write.index): write.ByteSize()}


@given(tasks)
def test_many_writes_come_back_in_order(sent: list[PendingWrite]) -> None:
    rows = rows_of(KEY, map(new, sent))
    by_place = sorted(sent, key=lambda write: (write.task_path, write.task_id, write.index))
    assert [PendingWrite.FromString(write.message) for write in in_order(rows)] == by_place
    assert in_order(rows) == list(map(new, by_place))
    assert sizes(rows) == {(write.task_id, write.index): write.ByteSize() for write in sent}
    assert len({(row.task_id, row.task_index) for row in rows}) == len(rows), "each has a key of its own"


def test_what_a_task_writes_is_one_row() -> None:
    sent = [PendingWrite(task_id="t", index=index, channel=f"c{index}") for index in range(MOST_WRITES)]
    assert len(rows_of(KEY, map(new, sent))) == 1
    assert len(rows_of(KEY, map(new, [*sent, PendingWrite(task_id="t", index=99)]))) == 2
    assert len(rows_of(KEY, map(new, [*sent[:2], PendingWrite(task_id="u")]))) == 2


def test_what_may_be_replaced_is_a_row_of_its_own() -> None:
    sent = [PendingWrite(task_id="t", index=index) for index in (-1, 0, -2, 1)]
    assert sorted(len(writes_of(row)) for row in rows_of(KEY, map(new, sent))) == [1, 1, 2]


@given(writes)
def test_fields_that_are_not_known_come_back(write: PendingWrite) -> None:
    write = PendingWrite.FromString(write.SerializeToString() + NEWER)
    other = PendingWrite(task_id=write.task_id, task_path=write.task_path, index=abs(write.index) // 2 + 1, channel="c")
    other = PendingWrite.FromString(other.SerializeToString() + NEWER)
    for stored in rows_of(KEY, [new(write), new(other)]):
        assert all(back.message.endswith(NEWER) for back in writes_of(stored))


@given(writes)
def test_a_write_takes_little_more_than_its_value(write: PendingWrite) -> None:
    """What stands in columns is not stored again."""
    value = write.value.SerializeToString()
    assert len(row(write).data) <= len(MARK) + 1 + 5 + 1 + 5 + len(value)


def test_what_messages_are_wrapped_in_takes_little_room() -> None:
    write = PendingWrite(task_id="t", channel="messages", value=TypedBlob(type="msgpack", data=AI_MESSAGE))
    assert len(row(write).data) < len(AI_MESSAGE) / 2


@given(writes)
def test_rows_without_a_mark_are_the_message_itself(write: PendingWrite) -> None:
    message = write.SerializeToString()
    old = row(write)._replace(data=message)
    old = old._replace(crc=write_checksum(old))
    assert writes_of(old) == [new(write)]
    assert sizes([old]) == {(write.task_id, write.index): len(message)}


def test_a_message_in_another_order_stays_as_it_is() -> None:
    write = PendingWrite(task_id="task", channel="c", value=TypedBlob(data=b"x"))
    fields = [PendingWrite(channel="c"), PendingWrite(task_id="task"), PendingWrite(value=write.value)]
    message = b"".join(field.SerializeToString() for field in fields)
    assert PendingWrite.FromString(message) == write
    other = new(PendingWrite(task_id="task", index=1))
    assert in_order(rows_of(KEY, [new(write, message), other])) == [new(write, message), other]


@given(tasks.filter(bool), st.data())
def test_any_damage_is_found(sent: list[PendingWrite], draw: st.DataObject) -> None:
    stored = draw.draw(st.sampled_from(rows_of(KEY, map(new, sent))))
    at, bit = draw.draw(st.integers(0, len(stored.data) - 1)), draw.draw(st.integers(0, 7))
    flipped = stored.data[:at] + bytes([stored.data[at] ^ 1 << bit]) + stored.data[at + 1 :]
    for damaged in (flipped, stored.data[:at]):
        with pytest.raises(Failure) as caught:
            writes_of(stored._replace(data=damaged))
        assert caught.value.reason is Reason.DATA_LOSS
        found = sizes_of("t", stored.task_index, damaged[:HEAD_BYTES], len(damaged), 0)
        assert 1 <= len(found) <= MOST_WRITES
        assert all(size.size >= 0 for size in found), "whatever is there, sums can be made of it"


@pytest.mark.parametrize(
    "other", [{"task_id": "u"}, {"task_index": 1}, {"task_path": "q"}, {"channel": "d"}, {"checkpoint_id": "another"}]
)
def test_columns_that_were_changed_are_found(other: dict[str, Any]) -> None:
    stored = row(PendingWrite(task_id="t", task_path="p", index=2, channel="c"))
    with pytest.raises(Failure):
        writes_of(stored._replace(**other))


def test_what_the_checksum_does_not_find_the_sizes_do() -> None:
    """As where somebody mended the one and not the other."""
    names = b"namespace\0checkpoint\0t\x000\0\0\0"
    sound = row(PendingWrite(task_id="t", value=TypedBlob(data=bytes(8)))).data
    of_key = checksum.crc(KEY)
    assert writes_of(row(PendingWrite(task_id="t"))._replace(data=sound, crc=checksum.crc(names + sound) ^ of_key))
    at = len(MARK) + 1
    for size in (0, sound[at] - 1, sound[at] + 1, 0xFF):
        wrong = sound[:at] + bytes([size]) + sound[at + 1 :]
        with pytest.raises(Failure):
            writes_of(row(PendingWrite(task_id="t"))._replace(data=wrong, crc=checksum.crc(names + wrong) ^ of_key))


def test_a_row_counts_under_its_own_key_only() -> None:
    stored = row(PendingWrite(task_id="t"))
    other = bytes(range(16))
    with pytest.raises(Failure):
        writes_of(stored._replace(key=other))
    assert writes_of(stored._replace(key=other, crc=stored.crc ^ moved_write_checksum(KEY, other)))
