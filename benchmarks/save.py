"""Saves a second, and how long one takes: Lockstitch against a server that does nothing."""

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.servers import ceiling, lockstitch, stores
from benchmarks.table import table

CONCURRENCY = (1, 16, 64)
BACKENDS = ("memory", "sqlite", "postgres")
CEILING = "empty server"
HEAD = ("2 KB states", "clients", "saves/s", "of the empty server", "p50 ms", "p99 ms")


class Measured(NamedTuple):
    """What one run of the load has measured; times in seconds."""

    rate: float
    p50: float
    p99: float


def run(seconds: float, repeat: int) -> str:
    """Measure all servers in turns, and again. Gives a table of medians."""
    runs: dict[tuple[int, str], list[Measured]] = defaultdict(list)
    with ExitStack() as stack:
        targets = {CEILING: stack.enter_context(ceiling())}
        for backend, url in stack.enter_context(stores(*BACKENDS)).items():
            targets[backend] = stack.enter_context(lockstitch(url))
        for _ in range(repeat):
            for clients in CONCURRENCY:
                for name, target in targets.items():
                    runs[clients, name].append(_measure(target, clients, seconds))
    medians = {key: Measured(*map(statistics.median, zip(*measured, strict=True))) for key, measured in runs.items()}
    return table(HEAD, [_row(name, clients, medians) for clients, name in medians])


def _measure(target: str, clients: int, seconds: float) -> Measured:
    command = [sys.executable, "-m", "benchmarks.load", target, str(clients), str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Measured(**json.loads(done.stdout))


def _row(name: str, clients: int, medians: dict[tuple[int, str], Measured]) -> tuple[str, ...]:
    measured = medians[clients, name]
    ratio = measured.rate / medians[clients, CEILING].rate
    times = (f"{seconds * 1000:.2f}" for seconds in (measured.p50, measured.p99))
    return (name, str(clients), f"{measured.rate:,.0f}", f"{ratio:.2f}", *times)
