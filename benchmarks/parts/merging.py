"""What merging rows does to a session that grows, and what it costs saves: with and without, side by side."""

import random
from dataclasses import replace

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.options import KB, Options
from benchmarks.parts.rates import compare, tell
from benchmarks.results import Results

IN_FLIGHT = 64
SERVERS = {"merged": (), "not merged": ("--set", "merge.interval_seconds=0")}
"""Options of the servers that are compared."""


def run(options: Options, results: Results) -> None:
    """A session of `long_turns` turns; then saves of 2 KB at 64 in flight, in short turns in a random order."""
    turn = replace(options, seconds=options.seconds / 2)
    for _ in range(options.repeat):
        with Stand() as stand:
            for backend in BACKENDS:
                for how in SERVERS:
                    _grow(_contestant(stand, how, "growth", backend), options.long_turns, results)
                saving = [_contestant(stand, how, "unary", backend) for how in SERVERS]
                for _ in range(options.tracing_turns):
                    random.shuffle(saving)
                    compare("merging", saving, turn, results, [{"state_bytes": 2 * KB, "concurrency": IN_FLIGHT}])


def _contestant(stand: Stand, how: str, kind: str, backend: str) -> Contestant:
    return stand.client_of_lockstitch(f"{how}, {backend}", kind, backend, how, *SERVERS[how], delta=True)


def _grow(contestant: Contestant, turns: int, results: Results) -> None:
    (grown,) = contestant.run(turns=(turns,))
    settled = contestant.run(kind="settled")
    figures = {"turns": turns, "state": grown["state"], "at_once": grown["stored"], **settled}
    results.add("merging", figures, name=contestant.name)
    tell(f"merging: {contestant.name}: {settled['stored'] / 1000:,.0f} KB, a load {settled['load'] * 1000:.2f} ms")
