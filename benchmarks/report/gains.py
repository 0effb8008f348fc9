"""What users gain: each figure of Lockstitch beside that of what they use today."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.contestants import BACKENDS, CHECKPOINTERS, OUR_CHECKPOINTER, SAVERS
from benchmarks.options import KB
from benchmarks.report.table import table
from benchmarks.results import Label, Results

Labels = dict[str, Label]


@dataclass(frozen=True)
class Gain:
    """One figure of both. times: how many times better Lockstitch is; below 1 it is worse."""

    what: str
    than: str
    theirs: str
    ours: str
    times: float

    @property
    def factor(self) -> str:
        """`times` with two digits."""
        return f"{self.times:.2g}" if self.times < 10 else f"{self.times:,.0f}"

    def row(self) -> tuple[str, ...]:
        """For the table."""
        return self.what, f"{self.than}: {self.theirs}", self.ours, self.factor


def gains(results: Results) -> list[Gain]:
    """All that were measured, those of one kind together."""
    return [gain for part in (_client, _lone_saves, _growth, _graph, _loads, _weavegraph) for gain in part(results)]


def gains_table(results: Results) -> str:
    """As a table; empty if nothing was measured."""
    rows = [gain.row() for gain in gains(results)]
    return table(("what", "today", "Lockstitch", "times better"), rows) if rows else ""


def _client(results: Results) -> Iterator[Gain]:
    for size in results.values("client", "state_bytes"):
        for backend in BACKENDS:
            what = f"saves a second, 64 at once, states of {int(size) // KB} KB, {backend}"
            at: Labels = {"state_bytes": size}
            ours, theirs = at | {"name": f"Python client, {backend}"}, at | {"name": SAVERS[backend]}
            yield from _gain(results, "client", "rate", what, theirs, ours, "{:,.0f}", more_is_better=True)


def _lone_saves(results: Results) -> Iterator[Gain]:
    at: Labels = {"state_bytes": 2 * KB, "concurrency": 1}
    for backend in BACKENDS:
        theirs, ours = at | {"name": SAVERS[backend]}, at | {"name": f"Lockstitch unary, {backend}"}
        yield from _gain(results, "saves", "p50", f"time of a lone save, {backend}", theirs, ours, _milliseconds)


def _growth(results: Results) -> Iterator[Gain]:
    for backend in BACKENDS:
        ours: Labels = {"name": f"Lockstitch delta, {backend}"}
        theirs: Labels = {"name": SAVERS[backend]}
        turns = max((int(run.labels["turns"]) for run in results.matching("growth", **theirs)), default=0)
        what = f"stored after {turns:,} turns of 1.1 KB, {backend}"
        at: Labels = {"turns": turns}
        yield from _gain(results, "growth", "stored", what, theirs | at, ours | at, _bytes)


def _graph(results: Results) -> Iterator[Gain]:
    for backend in BACKENDS:
        theirs: Labels = {"name": SAVERS[backend]}
        ours: Labels = {"name": f"LockstitchSaver, {backend}"}
        turns = next(iter(results.values("graph", "turns")), 0)
        what = f"time of {turns:,} turns of a LangGraph graph, {backend}"
        yield from _gain(results, "graph", "wall", what, theirs, ours, "{:.1f} s")


def _loads(results: Results) -> Iterator[Gain]:
    alone = next(iter(results.values("loads", "concurrency")), 1)
    for session in results.values("loads", "session"):
        for backend in BACKENDS:
            at: Labels = {"session": session, "concurrency": alone}
            theirs, ours = at | {"name": SAVERS[backend]}, at | {"name": f"Python client, {backend}"}
            what = f"time to load a {session} session, {backend}"
            yield from _gain(results, "loads", "p50", what, theirs, ours, _milliseconds)


def _weavegraph(results: Results) -> Iterator[Gain]:
    turns = next((run.labels["turns"] for run in results.matching("weavegraph", shape="long")), 0)
    for shape, figure, what, shown in (
        ("long", "last", f"time of a save of weavegraph after {turns:,} turns", _milliseconds),
        ("long", "stored", f"stored by weavegraph after {turns:,} turns", _bytes),
        ("small", "load", "time of weavegraph to load a small session", _milliseconds),
    ):
        for backend in BACKENDS:
            at: Labels = {"shape": shape}
            theirs, ours = at | {"name": CHECKPOINTERS[backend]}, at | {"name": f"{OUR_CHECKPOINTER}, {backend}"}
            yield from _gain(results, "weavegraph", figure, f"{what}, {backend}", theirs, ours, shown)


def _gain(
    results: Results,
    part: str,
    figure: str,
    what: str,
    theirs: Labels,
    ours: Labels,
    shown: str | Callable[[float], str],
    *,
    more_is_better: bool = False,
) -> Iterator[Gain]:
    """The gain of one figure, if both were measured."""
    one, other = results.median(part, figure, **theirs), results.median(part, figure, **ours)
    if one is None or other is None:
        return
    times = results.ratio(part, figure, *((ours, theirs) if more_is_better else (theirs, ours)))
    if times is None:
        return
    show = shown.format if isinstance(shown, str) else shown
    yield Gain(what, str(theirs["name"]), show(one), show(other), times)


def _bytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"
