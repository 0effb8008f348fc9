"""What many sessions cost: memory of the server, and the pages of their list."""

import time

import psutil

from benchmarks.contestants import BACKENDS, Stand
from benchmarks.options import Options
from benchmarks.parts.rates import tell
from benchmarks.results import Results

STATE_BYTES = 200
SETTLE_SECONDS = 0.5


def run(options: Options, results: Results) -> None:
    """Once on each kind of store."""
    with Stand() as stand:
        for backend in BACKENDS:
            _measure(stand, backend, options, results)


def _measure(stand: Stand, backend: str, options: Options, results: Results) -> None:
    contestant = stand.client_of_lockstitch(backend, "store-sessions", backend, state_bytes=STATE_BYTES)
    for count in options.sessions:
        names = tuple(f"session-{number:06}" for number in range(count))
        contestant.run(sessions=names, saves=max(count, options.least_saves))
        time.sleep(SETTLE_SECONDS)
        memory = sum(psutil.Process(number).memory_info().rss for number in contestant.job.server)
        results.add("sessions", {"memory": memory}, name=backend, sessions=count)
        tell(f"sessions: {backend}, {count:,} sessions: {memory / 1e6:.1f} MB")
    for figures in contestant.run(kind="list-sessions"):
        size = figures.pop("page_size")
        results.add("lists", figures, name=backend, page_size=size)
