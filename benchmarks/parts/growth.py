"""One session that grows: what it takes in the store, and how long saving and loading take by then."""

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.options import Options
from benchmarks.parts.rates import tell
from benchmarks.results import Results


def run(options: Options, results: Results) -> None:
    """Deltas as often as everything is repeated. Whole states once: what they take is the same every time."""
    _grow_whole(options, results)
    for _ in range(options.repeat):
        with Stand() as stand:
            growing = [_lockstitch(stand, backend, delta=True) for backend in BACKENDS]
            for contestant in growing:
                _measure(contestant, options.turns, results)
            for backend, contestant in zip(BACKENDS, growing, strict=True):
                figures = contestant.run(kind="lengths", turns=options.turns, saves=options.compared)
                results.add("lengths", figures, name=backend, turns=options.turns[-1])


def _grow_whole(options: Options, results: Results) -> None:
    with Stand() as stand:
        for backend in BACKENDS:
            _measure(_lockstitch(stand, backend, delta=False), options.turns, results)
            bearable = tuple(turns for turns in options.turns if turns <= options.saver_turns)
            _measure(stand.saver("saver-growth", backend), bearable, results)


def _lockstitch(stand: Stand, backend: str, *, delta: bool) -> Contestant:
    way = "delta" if delta else "full"
    return stand.client_of_lockstitch(f"Lockstitch {way}, {backend}", "growth", backend, delta=delta)


def _measure(contestant: Contestant, turns: tuple[int, ...], results: Results) -> None:
    for figures in contestant.run(turns=turns):
        length = figures.pop("turns")
        results.add("growth", figures, name=contestant.name, turns=length)
        tell(f"growth: {contestant.name}, {length} turns: {figures['stored'] / 1000:,.0f} KB")
