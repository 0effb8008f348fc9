"""What a session notes of its content is what it has, however it came to that."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.format import content
from lockstitch_server.core.format.content import EMPTY, MOST, Latest

NAMESPACES = ["", *[f"sub-{number}" for number in range(MOST + 3)]]
IDS = ["a", "b", "c", "é", "z" * 40]


class Checkpoint(NamedTuple):
    namespace: str
    checkpoint_id: str
    revision: int
    crc: int


class Write(NamedTuple):
    namespace: str
    checkpoint_id: str
    crc: int


crcs = st.integers(-(2**31), 2**31 - 1)
saves = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(IDS), crcs, st.lists(crcs, max_size=3))


def saved(history: list[tuple[str, str, int, list[int]]]) -> tuple[bytes, list[Checkpoint], list[Write]]:
    """A session's content after these saves, one after the other, and its rows."""
    noted, rows, writes = EMPTY, dict[tuple[str, str], Checkpoint](), dict[tuple[str, str], list[int]]()
    for revision, (namespace, checkpoint_id, crc, written) in enumerate(history):
        name = (namespace, checkpoint_id)
        if name not in rows:
            noted = content.with_name(noted, *name)
        rows[name] = Checkpoint(*name, revision, crc)
        writes[name] = written
        if all(other <= checkpoint_id for space, other in rows if space == namespace):
            noted = content.with_latest(noted, namespace, Latest(crc, content.xor_of(written)))
    return noted, list(rows.values()), [Write(*name, crc) for name, found in writes.items() for crc in found]


@given(st.lists(saves, max_size=40))
def test_it_says_what_is_there(history: list[tuple[str, str, int, list[int]]]) -> None:
    noted, rows, writes = saved(history)
    assert list(content.wrong_namespaces(noted, rows, writes)) == []
    assert content.has_names(noted, [(row.namespace, row.checkpoint_id) for row in rows])
    made = content.content_of(rows, writes)
    assert list(content.wrong_namespaces(made, rows, writes)) == []
    assert made[:4] == noted[:4]
    assert len(noted) == len(made) == len(EMPTY) + 16 * min(MOST, len({row.namespace for row in rows}))


@given(st.lists(saves, max_size=40))
def test_the_root_and_those_that_changed_last_have_an_entry(history: list[tuple[str, str, int, list[int]]]) -> None:
    noted, rows, writes = saved(history)
    last = list(dict.fromkeys(namespace for namespace, *_ in reversed(history)))
    latest = {
        namespace: max((row for row in rows if row.namespace == namespace), key=lambda row: row.checkpoint_id)
        for namespace in last
    }
    if "" in latest:
        assert content.latest_in(noted, "") is not None
    if last and len(history) == len(rows):  # nothing was replaced
        moved = [history[-1][0]] if latest[history[-1][0]].revision == len(history) - 1 else []
        for namespace in moved:
            row = latest[namespace]
            written = content.writes_checksums(writes).get((row.namespace, row.checkpoint_id), 0)
            assert content.latest_in(noted, namespace) == Latest(row.crc, written)


@given(st.lists(saves, min_size=1, max_size=20), st.data())
def test_a_missing_row_is_noticed(history: list[tuple[str, str, int, list[int]]], draw: st.DataObject) -> None:
    noted, rows, writes = saved(history)
    gone = draw.draw(st.sampled_from(rows))
    left = [row for row in rows if row != gone]
    assert not content.has_names(noted, [(row.namespace, row.checkpoint_id) for row in left])
    known = content.latest_in(noted, gone.namespace)
    if known is not None and known.checkpoint == gone.crc and all(row.crc != gone.crc for row in left):
        assert (gone.namespace if any(row.namespace == gone.namespace for row in left) else None, "checkpoint") in list(
            content.wrong_namespaces(noted, left, writes)
        )
    again = content.with_name(content.without_latest(noted, gone.namespace), *gone[:2])
    assert content.latest_in(again, gone.namespace) is None
    assert content.has_names(again, [(row.namespace, row.checkpoint_id) for row in left])


@given(st.lists(saves, min_size=1, max_size=20), st.data())
def test_a_missing_pending_write_is_noticed(
    history: list[tuple[str, str, int, list[int]]], draw: st.DataObject
) -> None:
    noted, rows, writes = saved(history)
    for number, gone in enumerate(writes):
        left = writes[:number] + writes[number + 1 :]
        latest = max((row for row in rows if row.namespace == gone.namespace), key=lambda row: row.checkpoint_id)
        known = content.latest_in(noted, gone.namespace) is not None
        if known and gone.crc and latest.checkpoint_id == gone.checkpoint_id:
            assert (gone.namespace, "writes") in list(content.wrong_namespaces(noted, rows, left))


@given(st.binary(max_size=100))
def test_whatever_damage_makes_of_it_can_be_looked_at(damaged: bytes) -> None:
    noted = damaged.ljust(len(EMPTY), b"\0")
    content.latest_in(noted, "")
    content.has_names(noted, [])
    list(content.wrong_namespaces(noted, [], []))
