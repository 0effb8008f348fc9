"""`python -m benchmarks.versus PYTHON`: this server beside that of another installation, such as the commit before.

    git clone . /tmp/before && make -C /tmp/before .venv/.bench
    python -m benchmarks.versus /tmp/before/.venv/bin/python

Both servers run at once, each on a store of its own, and take turns in a random order. The table has the median of each
and the median of the ratios of neighbouring turns: below 1, this server takes less.
"""

import argparse
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from benchmarks.contestants import BACKENDS, CONNECTIONS, Contestant, Stand
from benchmarks.options import KB
from benchmarks.report.table import table

HERE, THERE = "this", "the other"
SMALL_SESSIONS = tuple(f"small-{number}" for number in range(256))
Row = Sequence[str]
MICRO = 1e6
MILLI = 1e3


@dataclass(frozen=True)
class Case:
    """A load, and the figure that is compared: of how many seconds, or what a second."""

    name: str
    kind: str
    concurrency: int
    figures: tuple[str, ...]
    connections: int = CONNECTIONS
    beside_saves: bool = False


CASES = (
    Case("unary saves, 64 in flight", "unary", 64, ("per_save", "server_cpu")),
    Case("saves on a stream, 64 in flight", "stream", 64, ("per_save", "server_cpu"), 1),
    Case("saves in batches, 64 in flight", "batches", 64, ("per_save", "server_cpu"), 1),
    Case("unary saves, one in flight", "unary", 1, ("p50",)),
    Case("loads, 64 in flight", "load", 64, ("per_save", "server_cpu")),
    Case("loads, one in flight", "load", 1, ("p50",)),
    Case("loads, one in flight, beside 64 saves", "load", 1, ("p50", "p99"), beside_saves=True),
)
SHOWN = {
    "per_save": ("time, us", MICRO),
    "server_cpu": ("server CPU, us", MICRO),
    "p50": ("p50, ms", MILLI),
    "p99": ("p99, ms", MILLI),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus", description=__doc__)
    parser.add_argument("python", help="the interpreter of the other installation")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long one turn is (1.0)")
    parser.add_argument("--turns", type=int, default=8, help="how many turns each has (8)")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="only on this store")
    options = parser.parse_args()
    rows: list[Row] = []
    for backend in options.backend or BACKENDS:
        with Stand() as stand:
            pythons = {HERE: sys.executable, THERE: options.python}
            both = {name: _saving(stand, backend, name, python) for name, python in pythons.items()}
            aside = {name: _saving(stand, backend, name, python) for name, python in pythons.items()}
            for contestant in both.values():
                contestant.run(kind="store-turns", sessions=SMALL_SESSIONS, turns=(1,), state_bytes=2 * KB)
            for case in CASES:
                rows += _rows(f"{case.name}, {backend}", _measure(case, both, aside, options.seconds, options.turns))
    print(table(("2 KB states", "figure", HERE, THERE, "ratio"), rows))


def _saving(stand: Stand, backend: str, name: str, python: str) -> Contestant:
    return stand.client_of_lockstitch(name, "unary", backend, name, python=python)


def _measure(
    case: Case, both: dict[str, Contestant], aside: dict[str, Contestant], seconds: float, turns: int
) -> dict[str, dict[str, list[float]]]:
    """By figure and server: one value a turn."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(turns):
        for name in random.sample(list(both), len(both)):
            figures = _turn(case, both[name], aside[name], seconds)
            for figure in case.figures:
                value = 1 / figures["rate"] if figure == "per_save" else figures[figure]
                found[figure][name].append(value)
    print(case.name, file=sys.stderr, flush=True)
    return found


def _turn(case: Case, contestant: Contestant, aside: Contestant, seconds: float) -> dict[str, float]:
    contestant = replace(contestant, job=replace(contestant.job, kind=case.kind, sessions=SMALL_SESSIONS))
    work = {"concurrency": case.concurrency, "connections": case.connections, "state_bytes": 2 * KB}
    if not case.beside_saves:
        return dict(contestant.run(seconds=seconds, **work))
    with ThreadPoolExecutor(1) as pool:
        saves = pool.submit(aside.run, seconds=seconds + 1, concurrency=64, state_bytes=2 * KB)
        figures = contestant.run(seconds=seconds, **work)
        saves.result()
    return dict(figures)


def _rows(name: str, found: dict[str, dict[str, list[float]]]) -> list[Row]:
    rows: list[Row] = []
    for figure, values in found.items():
        what, scale = SHOWN[figure]
        here, there = (statistics.median(values[side]) * scale for side in (HERE, THERE))
        ratio = statistics.median(map(lambda a, b: a / b, values[HERE], values[THERE]))
        rows.append((name, what, f"{here:,.2f}", f"{there:,.2f}", f"{ratio:.2f}"))
    return rows


if __name__ == "__main__":
    main()
