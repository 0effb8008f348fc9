"""The graph of checkpoints beside a timeline: which lane each stands in, and which lines cross its row.

Rows come newest first, so lines run down from a checkpoint to its parent, as in `git log --graph`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Key = tuple[str, str]
"""Namespace and id of a checkpoint."""

MAX_LANES = 12
"""Lanes beyond these are drawn on top of the last one."""
COLORS = 6
LANE_WIDTH = 14
ROW_HEIGHT = 44
_MIDDLE = ROW_HEIGHT // 2


class Node(NamedTuple):
    """A checkpoint. parent: None; it has none. is_spawned: whether the parent is of another namespace."""

    key: Key
    parent: Key | None
    is_spawned: bool = False


class Line(NamedTuple):
    """A line in a row, as the path of an SVG. color: the number of a colour. is_dashed: it leads to a namespace."""

    path: str
    color: int
    is_dashed: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """The graph's part of a row. lane: where the checkpoint stands. is_tip: whether no later one grew out of it."""

    lane: int
    color: int
    is_tip: bool
    lines: Sequence[Line]

    @property
    def x(self) -> int:
        """Where its dot is drawn, from the left."""
        return x_of(self.lane)


@dataclass(slots=True)
class _Slot:
    """A lane that runs on, down to a parent."""

    awaited: Key
    color: int
    is_dashed: bool


@dataclass(slots=True)
class _Lanes:
    slots: list[_Slot | None] = field(default_factory=list)
    tips: int = 0

    def taken(self) -> list[tuple[int, _Slot]]:
        """The lanes that run on."""
        return [(lane, slot) for lane, slot in enumerate(self.slots) if slot is not None]

    def free(self, first: int) -> int:
        """The leftmost free lane, from `first` on."""
        while len(self.slots) <= first or None not in self.slots[first:]:
            self.slots.append(None)
        return self.slots.index(None, first)

    def next_color(self) -> int:
        """Another colour than that of the last tip."""
        self.tips += 1
        return (self.tips - 1) % COLORS


def layout(nodes: Sequence[Node], *, is_complete: bool) -> list[Cell]:
    """The cells of the rows. is_complete: no further rows follow, so lines to parents that are missing end here."""
    lanes = _Lanes()
    below = {node.key for node in nodes}
    cells = []
    for node in nodes:
        below.discard(node.key)
        parent = node.parent
        # A parent above, which ids of one's own choice allow, gets no line.
        reaches = parent is not None and (parent in below or not (is_complete or _is_above(parent, nodes)))
        cells.append(_cell(lanes, node, parent if reaches else None))
    return cells


def width(cells: Sequence[Cell]) -> int:
    """How wide the graph is."""
    most = max((cell.lane for cell in cells), default=0)
    return x_of(most) + LANE_WIDTH // 2 + 2


def x_of(lane: int) -> int:
    """Where a lane is drawn, from the left."""
    return LANE_WIDTH * min(lane, MAX_LANES - 1) + LANE_WIDTH // 2 + 2


def _is_above(key: Key, nodes: Sequence[Node]) -> bool:
    return any(node.key == key for node in nodes)


def _cell(lanes: _Lanes, node: Node, parent: Key | None) -> Cell:
    before = lanes.taken()
    ending = [(lane, slot) for lane, slot in before if slot.awaited == node.key]
    children = [(lane, slot) for lane, slot in ending if not slot.is_dashed]
    is_root = node.key[0] == ""
    arriving = children or ([] if is_root else ending)
    # The main line of a session keeps the first lane to itself.
    lane = arriving[0][0] if arriving else lanes.free(0 if is_root else 1)
    color = children[0][1].color if children else lanes.next_color()
    lines = []
    for number, slot in before:
        to = lane if slot.awaited == node.key else None
        lines.append(Line(_path(number, to), slot.color, slot.is_dashed))
    for number, _ in ending:
        lanes.slots[number] = None
    if parent is not None:
        lanes.slots[lane] = _Slot(parent, color, node.is_spawned)
        lines.append(Line(f"M{x_of(lane)} {_MIDDLE}V{ROW_HEIGHT}", color, node.is_spawned))
    return Cell(lane, color, not children, lines)


def _path(number: int, to: int | None) -> str:
    """From the top of a row in one lane to its bottom, or to the dot in another lane."""
    x = x_of(number)
    if to is None:
        return f"M{x} 0V{ROW_HEIGHT}"
    end = x_of(to)
    bend = _MIDDLE * 3 // 4
    return f"M{x} 0V{_MIDDLE}" if end == x else f"M{x} 0C{x} {bend} {end} {bend // 3} {end} {_MIDDLE}"
