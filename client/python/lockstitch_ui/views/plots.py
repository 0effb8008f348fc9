"""Plots of a session as SVG shapes, each with the table of its numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch_ui import text
from lockstitch_ui.views.timeline import INTERNAL, Row, short_name

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 10, 26
MAX_BARS = 160
"""More steps than these are put together into one bar."""
MAX_SERIES = 5
"""Channels with a colour of their own. The others are put together."""
MAX_NODES = 15
OTHERS = "others"
_INNER_WIDTH = WIDTH - LEFT - RIGHT
_INNER_HEIGHT = HEIGHT - TOP - BOTTOM


class Shape(NamedTuple):
    """A rectangle. series: the number of its colour."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str


class Tick(NamedTuple):
    """A label on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot. legend: names of the series, by colour. line: the path of a line. rows: the table, below `columns`."""

    title: str
    description: str
    shapes: Sequence[Shape]
    line: str
    dots: Sequence[tuple[float, float]]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    legend: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        return not self.rows


def growth_by_channel(rows: Sequence[Row]) -> Chart:
    """Bytes that each step added, by channel."""
    steps = [(row, _growth(row)) for row in reversed(rows) if row.chips is not None]
    totals: dict[str, int] = {}
    for _, grown in steps:
        for name, count in grown.items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(totals, key=lambda name: -totals[name])[:MAX_SERIES]
    legend = [*names, OTHERS] if len(totals) > len(names) else names
    groups = _groups(steps)
    stacks = [_stack([grown for _, grown in group], names) for group in groups]
    most = max((sum(stack) for stack in stacks), default=0)
    width = _INNER_WIDTH / max(1, len(groups))
    shapes: list[Shape] = []
    for number, (group, stack) in enumerate(zip(groups, stacks, strict=True)):
        shapes.extend(_bars(number * width, width, stack, most, legend, _steps(group)))
    table = [
        [_steps(group), *(text.size(count) for count in stack[: len(legend)])]
        for group, stack in zip(groups, stacks, strict=True)
        if sum(stack)
    ]
    return Chart(
        "Bytes added by step",
        f"Bytes that each of {len(steps)} checkpoints added to the state, by channel",
        shapes,
        "",
        (),
        _x_steps(groups, width),
        _y_ticks(most, text.size),
        legend,
        ["Step", *legend],
        table,
    )


def time_by_node(rows: Sequence[Row]) -> Chart:
    """How long the steps took in which each node ran."""
    totals: dict[str, list[float]] = {}
    for row in rows:
        for node in dict.fromkeys(row.progress.ran_nodes) if row.seconds is not None else ():
            totals.setdefault(node, []).append(row.seconds or 0.0)
    order = sorted(totals, key=lambda node: -sum(totals[node]))
    most = max((sum(times) for times in totals.values()), default=0.0)
    shapes, ticks = [], []
    for number, node in enumerate(order[:MAX_NODES]):
        spent = sum(totals[node])
        y = TOP + 22 * number
        width = max(1.0, 0.76 * _INNER_WIDTH * spent / most) if most else 1.0
        shapes.append(Shape(LEFT + 90, y, width, 14, 0, f"{node}: {text.duration(spent)}"))
        ticks.append(Tick(y + 11, node))
    table = [
        [node, str(len(totals[node])), text.duration(sum(totals[node])), text.duration(max(totals[node]))]
        for node in order
    ]
    return Chart(
        "Time by node",
        "Time of the steps in which each node ran. A step with several nodes counts for each of them",
        shapes,
        "",
        (),
        [
            Tick(shape.x + shape.width + 6, text.duration(sum(totals[node])))
            for shape, node in zip(shapes, order, strict=False)
        ],
        ticks,
        (),
        ["Node", "Steps", "Time", "Longest"],
        table,
        TOP + 22 * max(1, len(shapes)) + 8,
    )


def steps_over_time(rows: Sequence[Row]) -> Chart:
    """When each step was taken."""
    points = [(text.seconds(row.checkpoint.created_at), row.checkpoint.step) for row in reversed(rows)]
    start, end = min((at for at, _ in points), default=0.0), max((at for at, _ in points), default=0.0)
    low, high = min((step for _, step in points), default=0), max((step for _, step in points), default=0)

    def place(at: float, step: int) -> tuple[float, float]:
        x = LEFT + _INNER_WIDTH * ((at - start) / (end - start) if end > start else 0.5)
        y = TOP + _INNER_HEIGHT * (1 - ((step - low) / (high - low) if high > low else 0.5))
        return round(x, 1), round(y, 1)

    chosen = points[:: max(1, len(points) // 400)]
    placed = [place(*point) for point in chosen]
    line = "M" + "L".join(f"{x} {y}" for x, y in placed) if len(placed) > 1 else ""
    moments = [start, (start + end) / 2, end] if end > start else [start]
    anchors = [place(at, low)[0] for at in moments]
    table = [[str(step), text.clock(at)] for at, step in chosen[:: max(1, len(chosen) // 100)]]
    return Chart(
        "Steps over time",
        f"{len(points)} checkpoints, from step {low} to step {high}, in {text.duration(end - start)}",
        (),
        line,
        placed if len(placed) <= 60 else (),
        [Tick(x, label) for x, label in zip(anchors, _clocks(moments), strict=True)],
        [Tick(place(start, step)[1], str(step)) for step in dict.fromkeys((low, high))] if points else (),
        (),
        ["Step", "Time"],
        table,
    )


def _clocks(moments: Sequence[float]) -> list[str]:
    """Times, with their dates where these differ."""
    whole = [text.clock(at) for at in moments]
    return whole if len({each[:10] for each in whole}) > 1 else [each[11:] for each in whole]


def _growth(row: Row) -> dict[str, int]:
    """How much each channel grew in a step."""
    before = {size.channel: size.bytes for size in row.parent_sizes}
    grown = {}
    for size in row.listed.channels:
        name = short_name(size.channel)
        count = size.bytes - before.get(size.channel, 0)
        if count > 0 and not name.startswith(INTERNAL):
            grown[name] = count
    return grown


Group = Sequence[tuple[Row, dict[str, int]]]


def _groups(steps: Sequence[tuple[Row, dict[str, int]]]) -> list[Group]:
    """Neighbouring steps, as many together as makes MAX_BARS bars."""
    size = -(-len(steps) // MAX_BARS) or 1
    return [steps[start : start + size] for start in range(0, len(steps), size)]


def _stack(grown: Sequence[dict[str, int]], names: Sequence[str]) -> list[int]:
    """Bytes by series, with those of all others last."""
    own = [sum(each.get(name, 0) for each in grown) for name in names]
    return [*own, sum(sum(each.values()) for each in grown) - sum(own)]


def _bars(x: float, width: float, stack: Sequence[int], most: int, legend: Sequence[str], step: str) -> list[Shape]:
    shapes, base = [], float(TOP + _INNER_HEIGHT)
    for series, count in enumerate(stack):
        if count:
            height = _INNER_HEIGHT * count / most
            base -= height
            title = f"step {step}, {legend[series]}: +{text.size(count)}"
            gap = 1 if width > 4 else 0
            shapes.append(
                Shape(
                    round(LEFT + x, 2), round(base, 2), round(width - gap, 2), round(max(height, 0.5), 2), series, title
                )
            )
    return shapes


def _steps(group: Group) -> str:
    first, last = group[0][0].checkpoint.step, group[-1][0].checkpoint.step
    return str(first) if first == last else f"{first}\u2013{last}"


def _x_steps(groups: Sequence[Group], width: float) -> list[Tick]:
    if not groups:
        return []
    chosen = sorted({0, len(groups) // 2, len(groups) - 1})
    return [Tick(LEFT + (number + 0.5) * width, str(groups[number][0][0].checkpoint.step)) for number in chosen]


def _y_ticks(most: int, written: Callable[[float], str]) -> list[Tick]:
    if not most:
        return []
    return [Tick(TOP + _INNER_HEIGHT * (1 - share), written(most * share)) for share in (0.0, 0.5, 1.0)]
