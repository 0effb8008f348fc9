"""The plots, as SVG."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.options import KB
from benchmarks.report.gains import Gain, gains
from benchmarks.results import Label, Results

COLOURS = {
    "Lockstitch stream": "#5bb58f",
    "Lockstitch batches": "#9ad5b5",
    "Lockstitch delta": "#5bb58f",
    "Lockstitch": "#0b6e4f",
    "Async": "#c8553d",
    "etcd": "#3b6ea8",
    "Redis": "#8a5aa8",
    "Empty": "#555555",
}
"""By the beginning of a name; the first that fits."""
STYLE: dict[str, Any] = {
    "svg.hashsalt": "lockstitch",  # the same picture is the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
}


def write_plots(results: Results, directory: Path) -> None:
    """All of which there are results."""
    with mpl.rc_context(STYLE):
        for name, figure in plots(results).items():
            figure.savefig(directory / f"{name}.svg", metadata={"Date": None})


def plots(results: Results) -> dict[str, Figure]:
    """Plots by their names."""
    found = {}
    if gained := gains(results):
        found["gains"] = _gains(gained)
    if results.values("saves", "name"):
        found["saves"] = _saves(results)
    if results.values("growth", "name"):
        found["growth"] = _growth(results)
    return found


def _gains(gained: list[Gain]) -> Figure:
    """A bar for each figure, to the right where Lockstitch is better."""
    figure = Figure(figsize=(9.5, 1 + 0.26 * len(gained)), layout="constrained")
    axes = figure.subplots()
    colours = [COLOURS["Lockstitch" if gain.times >= 1 else "Async"] for gain in gained]
    bars = axes.barh([gain.what for gain in gained], [gain.times - 1 for gain in gained], left=1, color=colours)
    axes.bar_label(bars, [gain.factor for gain in gained], padding=3)
    axes.set_xscale("log")
    axes.axvline(1, color="#555555", linewidth=1)
    axes.margins(x=0.12)
    axes.set_axisbelow(True)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} x"))
    axes.set_title("Times better than the savers that run in the process of the graph", loc="left")
    return figure


def _saves(results: Results) -> Figure:
    sizes = [size for size in results.values("saves", "state_bytes") if isinstance(size, int)]
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    for axes, size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        for name in results.values("saves", "name"):
            _line(axes, results, "saves", "rate", "concurrency", {"name": name, "state_bytes": size})
        _label(axes, f"{size // KB} KB states", "saves in flight", "saves a second")
        _ticks(axes, results.values("saves", "concurrency"))
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _legend(figure, figure.axes[0])
    return figure


def _growth(results: Results) -> Figure:
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    axes = figure.subplots()
    for name in results.values("growth", "name"):
        _line(axes, results, "growth", "stored", "turns", {"name": name})
    _line(axes, results, "growth", "state", "turns", {"name": "Lockstitch delta, SQLite"}, "The state itself")
    axes.set_yscale("log")
    _label(axes, "A session of turns of 1.1 KB each", "turns", "bytes stored")
    _ticks(axes, results.values("growth", "turns"))
    axes.yaxis.set_major_formatter(FuncFormatter(_bytes))
    _legend(figure, axes)
    return figure


def _line(
    axes: Any, results: Results, part: str, figure: str, over: str, labels: dict[str, Label], name: str = ""
) -> None:
    name = name or str(labels["name"])
    points = [(value, results.median(part, figure, **labels, **{over: value})) for value in results.values(part, over)]
    there = [point for point in points if point[1] is not None]
    axes.plot(*zip(*there, strict=True), label=name, **_look(name)) if there else None


def _look(name: str) -> dict[str, Any]:
    """A colour for everybody; dashes on Postgres; marks tell the ways of saving apart."""
    colour = next((colour for start, colour in COLOURS.items() if name.startswith(start)), "#999999")
    mark = "^" if "batches" in name else "s" if "stream" in name or "delta" in name else "o"
    return {
        "color": colour,
        "marker": mark,
        "markersize": 4,
        "linestyle": "--" if "Postgres" in name else ":" if name.startswith(("Empty", "The")) else "-",
    }


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _ticks(axes: Any, values: list[Label]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, axes: Any) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)


def _bytes(value: float, _: object) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
