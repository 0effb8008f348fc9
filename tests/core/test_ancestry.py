"""What retention keeps for checkpoints that stay: compared with a walk from each of them."""

from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.core.format.ancestry import Ancestry, Name
from lockstitch_server.core.format.rows import CheckpointRow
from lockstitch_server.records.v1.record_pb2 import CheckpointRecord

NAMES = ["0", "1", "2", "3", "4", "5", "nobody"]


def row(namespace: str, name: str, parent: str, depends_on: str, *, damaged: bool) -> CheckpointRow:
    made = CheckpointRow(b"k" * 16, namespace, name, parent, 0, 1, b"")
    if damaged:
        made.crc = made.checksum() ^ 1
    else:
        made.remember(CheckpointRecord(header=Checkpoint(depends_on=depends_on).SerializeToString()))
    return made


def ancestors(parents: dict[Name, str], name: Name, end: str | None) -> set[Name]:
    """One step after the other, until the end, a hole or a ring. A ring is taken whole."""
    found: set[Name] = set()
    if end is not None and name[1] != end and in_ring(parents, (name[0], end)):
        end = None
    while name[1] != end:
        name = (name[0], parents[name])
        if name not in parents or name in found:
            return found
        found.add(name)
    return found


def in_ring(parents: dict[Name, str], name: Name) -> bool:
    """Whether the way through its parents comes back to a checkpoint."""
    place = name
    for _ in parents:
        if place not in parents:
            return False
        place = (place[0], parents[place])
        if place == name:
            return True
    return False


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["", "inner"]), st.sampled_from(NAMES[:6])),
        st.tuples(st.sampled_from(["", *NAMES]), st.sampled_from(["", *NAMES]), st.booleans()),
        min_size=1,
    ),
    st.sets(st.tuples(st.sampled_from(["", "inner"]), st.sampled_from(NAMES[:6]))),
)
def test_what_is_needed(checkpoints: dict[Name, tuple[str, str, bool]], leaving: set[Name]) -> None:
    ancestry = Ancestry()
    for (namespace, name), (parent, depends_on, damaged) in checkpoints.items():
        ancestry.add([row(namespace, name, parent, depends_on, damaged=damaged)], leaving=leaving)
    parents = {name: parent for name, (parent, _, _) in checkpoints.items()}
    expected: set[Name] = set()
    for place, (_, depends_on, damaged) in checkpoints.items():
        if place not in leaving and (damaged or depends_on):
            expected |= ancestors(parents, place, None if damaged else depends_on)
    assert ancestry.needed() == expected


def test_many_that_depend_on_different_ancestors() -> None:
    """A walk from each of them would take hours, and memory for each of its steps."""
    count, ancestry = 50_000, Ancestry()
    ancestry.add(
        row("", str(number), str(number - 1), f"nobody {number}" if number % 2 else str(number // 2), damaged=False)
        for number in range(count)
    )
    assert len(ancestry.needed()) == count - 1
