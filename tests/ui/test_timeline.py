"""The graph and the rows of a timeline."""

import re
from itertools import pairwise

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from lockstitch import ListedCheckpoint
from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind
from lockstitch.v1.checkpoint_service_pb2 import ChannelSize
from lockstitch_ui.views.graph import MAX_LANES, ROW_HEIGHT, Cell, Node, layout, width, x_of
from lockstitch_ui.views.timeline import Timeline, channel_chips, parents_of, timeline

ENDS = re.compile(r"M(\d+) (\d+)(?:V(\d+)|C\d+ \d+ \d+ \d+ (\d+) (\d+))\Z")


def root(id: str, parent: str = "") -> Node:
    return Node(("", id), ("", parent) if parent else None)


def ends(path: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a line begins and ends."""
    found = ENDS.match(path)
    assert found is not None, path
    x, y, down, to_x, to_y = found.groups()
    return (int(x), int(y)), (int(to_x or x), int(down or to_y))


def below(cell: Cell) -> list[int]:
    """Where lines leave a row at its bottom."""
    return sorted(end[0] for _, end in (ends(line.path) for line in cell.lines) if end[1] == ROW_HEIGHT)


def above(cell: Cell) -> list[int]:
    """Where lines come into a row at its top."""
    return sorted(start[0] for start, _ in (ends(line.path) for line in cell.lines) if start[1] == 0)


def test_a_chain_stays_in_one_lane() -> None:
    cells = layout([root("3", "2"), root("2", "1"), root("1")], is_complete=True)
    assert [cell.lane for cell in cells] == [0, 0, 0]
    assert [cell.is_tip for cell in cells] == [True, False, False]
    assert [(above(cell), below(cell)) for cell in cells] == [([], [9]), ([9], [9]), ([9], [])]


def test_a_fork_has_a_lane_of_its_own_until_it_meets_its_parent() -> None:
    cells = layout([root("4", "2"), root("3", "2"), root("2", "1"), root("1")], is_complete=True)
    assert [cell.lane for cell in cells] == [0, 1, 0, 0]
    assert [cell.is_tip for cell in cells] == [True, True, False, False]
    assert len({cells[0].color, cells[1].color}) == 2
    assert (above(cells[2]), below(cells[2])) == ([x_of(0), x_of(1)], [x_of(0)])


def test_a_subgraph_leaves_the_first_lane_to_the_root() -> None:
    inner = Node(("sub", "2"), ("", "1"), is_spawned=True)
    cells = layout([inner, root("1")], is_complete=True)
    assert [cell.lane for cell in cells] == [1, 0]
    assert [line.is_dashed for line in cells[1].lines] == [True]
    assert cells[1].is_tip  # nothing of the root grew out of it


def test_lines_run_out_of_a_window_and_end_in_a_whole_session() -> None:
    rows = [root("9", "8"), root("7", "3")]
    assert [below(cell) for cell in layout(rows, is_complete=False)] == [[9], [9, 23]]
    assert [below(cell) for cell in layout(rows, is_complete=True)] == [[], []]


NODES = st.lists(
    st.builds(
        Node,
        st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from("0123456789")),
        st.none() | st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from("0123456789")),
        st.booleans(),
    ),
    max_size=30,
    unique_by=lambda node: node.key,
)


@given(NODES, st.booleans())
def test_lines_go_on_where_they_left_the_row_above(nodes: list[Node], is_complete: bool) -> None:
    """Of any checkpoints, circles of parents included."""
    cells = layout(nodes, is_complete=is_complete)
    assert len(cells) == len(nodes)
    for upper, lower in pairwise(cells):
        assert below(upper) == above(lower)
    for node, cell in zip(nodes, cells, strict=True):
        arrived = [end for _, end in (ends(line.path) for line in cell.lines) if end[1] < ROW_HEIGHT]
        assert all(end[0] == cell.x for end in arrived)
        children = [each for each in nodes[: nodes.index(node)] if each.parent == node.key]
        assert len(arrived) == len(children)
    if is_complete and cells:
        assert below(cells[-1]) == []
    assert all(x <= width(cells) for cell in cells for x in below(cell)) or len(nodes) > MAX_LANES


# Rows


def saved(step: int, parent: str = "", namespace: str = "", seconds: float = 0.0, **sizes: int) -> ListedCheckpoint:
    checkpoint = Checkpoint(
        session_id="s", checkpoint_id=f"{step:020}", step=step, parent_id=parent, namespace=namespace
    )
    checkpoint.created_at.FromNanoseconds(int((1000 + seconds) * 1e9))
    channels = [
        ChannelSize(channel=f"custom/{name}", bytes=size, fingerprint=f"{name}{size}".encode())
        for name, size in sizes.items()
    ]
    return ListedCheckpoint(checkpoint, [], step, Timestamp(), sum(sizes.values()), "", channels)


def rows_of(*listed: ListedCheckpoint, limit: int = 100) -> Timeline:
    return timeline(listed, limit, has_older=False)


def test_a_row_says_what_changed_since_its_parent_and_how_long_it_took() -> None:
    found = rows_of(
        saved(2, seconds=5, log=2048, plan=10), saved(1, seconds=4, log=1024, old=7, plan=10), saved(0, log=512)
    )
    first, second, third = found.rows
    assert first.seconds == pytest.approx(1)
    assert [(chip.channel, chip.kind, chip.text) for chip in first.chips or ()] == [
        ("log", "grown", "+1.0 KiB"),
        ("old", "gone", "gone"),
    ]
    assert first.growth == 2058 - 1041
    assert (first.bar, second.bar) == (25.0, 100.0)
    assert [(chip.channel, chip.kind) for chip in third.chips or ()] == [("log", "new")]
    assert (third.seconds, third.bar) == (None, 0.0)


def test_rows_after_the_last_one_shown_only_tell_what_changed() -> None:
    found = rows_of(saved(2, log=30), saved(1, log=20), limit=1)
    assert [row.checkpoint.step for row in found.rows] == [2]
    assert [chip.text for chip in found.rows[0].chips or ()] == ["+10 B"]
    assert found.has_older


def test_parents_that_are_not_named() -> None:
    """Checkpoints whose ids are their steps grew out of the one before; a first step out of nothing."""
    listed = [saved(3), saved(2, namespace="sub"), saved(1), saved(0, namespace="sub")]
    assert parents_of(listed) == {
        ("", f"{3:020}"): ("", f"{1:020}"),
        ("sub", f"{2:020}"): ("sub", f"{0:020}"),
    }
    assert parents_of([saved(3, parent="x")]) == {("", f"{3:020}"): ("", "x")}


def test_content_that_changed_at_the_same_size_is_told_and_control_is_not() -> None:
    old = [ChannelSize(channel="custom/a", bytes=5, fingerprint=b"1"), ChannelSize(channel="custom/branch:to:x")]
    new = [ChannelSize(channel="custom/a", bytes=5, fingerprint=b"2")]
    assert [(chip.channel, chip.kind, chip.text) for chip in channel_chips(new, old)] == [("a", "changed", "±0 B")]


def test_servers_that_do_not_tell_sizes() -> None:
    """Then what the checkpoint says of itself has to do."""
    listed = saved(1)
    assert rows_of(listed).rows[0].chips is None
    listed.checkpoint.updated_channels.append("messages")
    listed.checkpoint.ran_nodes.append(NodeKind(custom="plan"))
    row = rows_of(listed).rows[0]
    assert [chip.channel for chip in row.chips or ()] == ["messages"]
    assert row.title == "plan"


def test_a_grown_errors_channel_is_marked() -> None:
    before, after = saved(1), saved(2)
    after.channels.append(ChannelSize(channel="errors", bytes=9, fingerprint=b"e"))  # type: ignore[attr-defined]
    assert [[mark.kind for mark in row.marks] for row in rows_of(after, before).rows] == [["error"], []]
