"""What Lockstitch wants to reach, and whether it has. All goals are ratios within one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contestants import BACKENDS, CHECKPOINTERS, OUR_CHECKPOINTER, SAVERS
from benchmarks.limits import GRAPH, Limit
from benchmarks.options import KB
from benchmarks.report.table import table
from benchmarks.results import Label, Results

GROWTH_TURNS = 1_000
GROWTH = Limit(1.1, 300)
FEW, MANY = 1_000, 100_000
CLIENT_TIMES = {(2 * KB, "SQLite"): 3, (2 * KB, "Postgres"): 4, (32 * KB, "SQLite"): 5, (32 * KB, "Postgres"): 9}
UNARY_SHARE = {"SQLite": 0.75, "Postgres": 0.65}
STREAM_TIMES = {"SQLite": 3, "Postgres": 2}
SETTLED = {"SQLite": 0.85, "Postgres": 0.95}
GRAPH_TIME = {"SQLite": 1.0, "Postgres": 0.85}
WEAVEGRAPH_LOAD = {"SQLite": 2.5, "Postgres": 1.5}


@dataclass(frozen=True)
class Goal:
    """A figure that shall be so large at least, or so small at most."""

    what: str
    figure: float | None
    limit: float
    at_least: bool = True
    note: str = ""

    @property
    def reached(self) -> str:
        """In a word."""
        if self.figure is None:
            return "not measured"
        reached = self.figure >= self.limit if self.at_least else self.figure <= self.limit
        return "yes" if reached else f"no{self.note}"

    def row(self) -> tuple[str, ...]:
        """For the table."""
        sign = ">=" if self.at_least else "<="
        return self.what, f"{sign} {self.limit:g}", "-" if self.figure is None else f"{self.figure:.3g}", self.reached


def goals(results: Results) -> list[Goal]:
    """All of them."""
    parts = (_saves, _client, _growth, _merging, _graph, _lengths, _weavegraph, _sessions, _workers)
    return [goal for part in parts for goal in part(results)]


def goals_table(results: Results) -> str:
    """As a table."""
    return table(("goal", "wanted", "measured", "reached"), [goal.row() for goal in goals(results)])


def _saves(results: Results) -> Iterator[Goal]:
    def rate(one: str, other: str) -> float | None:
        at: dict[str, Label] = {"state_bytes": 2 * KB, "concurrency": 64}
        return results.ratio("saves", "rate", at | {"name": one}, at | {"name": other})

    for backend in BACKENDS:
        unary, stream = f"Lockstitch unary, {backend}", f"Lockstitch stream, {backend}"
        yield Goal(f"{unary}: rate, of the empty gRPC server's", rate(unary, "Empty gRPC server"), UNARY_SHARE[backend])
        for name in (stream, f"Lockstitch batches, {backend}"):
            yield Goal(f"{name}: rate, of the unary rate", rate(name, unary), STREAM_TIMES[backend])
            yield Goal(f"{name}: rate, of etcd's", rate(name, "etcd"), 1)


def _client(results: Results) -> Iterator[Goal]:
    for (size, backend), times in CLIENT_TIMES.items():
        at: dict[str, Label] = {"state_bytes": size}
        client, saver = f"Python client, {backend}", SAVERS[backend]
        figure = results.ratio("client", "rate", at | {"name": client}, at | {"name": saver})
        yield Goal(f"{client}, {size // KB} KB states: rate, of {saver}'s", figure, times)


def _graph(results: Results) -> Iterator[Goal]:
    for backend in BACKENDS:
        ours: dict[str, Label] = {"name": f"LockstitchSaver, {backend}"}
        stored, empty, payload, steps = (
            results.median("graph", figure, **ours) for figure in ("stored", "empty", "payload", "steps")
        )
        limit = GRAPH.bytes(int(payload), int(steps)) if payload and steps else None
        figure = (stored - empty) / limit if stored and empty and limit else None
        yield Goal(
            f"LockstitchSaver, {backend}: stored, of {GRAPH.states:g} x payload + 1 KB a checkpoint", figure, 1, False
        )
    figure = results.ratio("graph", "wall", {"name": "LockstitchSaver, Postgres"}, {"name": SAVERS["Postgres"]})
    yield Goal("LockstitchSaver, Postgres: time of a graph's turns, of AsyncPostgresSaver's", figure, 1, False)
    for backend in BACKENDS:
        over_http, saver = f"LockstitchSaver over HTTP, {backend}", SAVERS[backend]
        figure = results.ratio("graph", "wall", {"name": over_http}, {"name": saver})
        yield Goal(f"{over_http}: time of a graph's turns, of {saver}'s", figure, GRAPH_TIME[backend], False)


def _growth(results: Results) -> Iterator[Goal]:
    for backend in BACKENDS:
        for way in ("full", "delta"):
            at: dict[str, Label] = {"name": f"Lockstitch {way}, {backend}", "turns": GROWTH_TURNS}
            stored, state = (results.median("growth", figure, **at) for figure in ("stored", "state"))
            figure = stored / GROWTH.bytes(int(state), GROWTH_TURNS) if stored and state else None
            what = f"{at['name']}: stored after 1,000 turns, of {GROWTH.states:g} x the state + {GROWTH.step} B a turn"
            yield Goal(what, figure, 1, at_least=False)


def _merging(results: Results) -> Iterator[Goal]:
    for backend in BACKENDS:
        at: dict[str, Label] = {"name": f"merged, {backend}"}
        stored, at_once, state = (results.median("merging", figure, **at) for figure in ("stored", "at_once", "state"))
        merged = f"{backend}, rows merged"
        settled, before = _quotient(stored, state), _quotient(at_once, state)
        yield Goal(f"{merged}: stored after 1,000 turns, settled, of the state", settled, SETTLED[backend], False)
        yield Goal(f"{merged}: stored right after 1,000 turns, of the state", before, 1.3, False)
        rates: dict[str, Label] = {"state_bytes": 2 * KB, "concurrency": 64}
        figure = results.ratio("merging", "rate", at | rates, rates | {"name": f"not merged, {backend}"})
        yield Goal(f"{merged}: rate of other saves, of the rate without merging", figure, 0.95)


def _lengths(results: Results) -> Iterator[Goal]:
    turns = next(iter(results.values("lengths", "turns")), 5_000)
    for backend in BACKENDS:
        for what, long, short in (
            (f"delta save at turn {turns:,}, of one at turn 10", "save_long", "save_short"),
            (f"LoadLatest after {turns:,} turns, of the same state saved at once", "load_long", "load_once"),
        ):
            ratio = _quotient(
                results.median("lengths", long, name=backend), results.median("lengths", short, name=backend)
            )
            yield Goal(f"{backend}: time of a {what}", ratio, 1.5, at_least=False)


def _weavegraph(results: Results) -> Iterator[Goal]:
    for backend in BACKENDS:
        at: dict[str, Label] = {"shape": "small"}
        ours, theirs = at | {"name": f"{OUR_CHECKPOINTER}, {backend}"}, at | {"name": CHECKPOINTERS[backend]}
        figure = results.ratio("weavegraph", "load", ours, theirs)
        what = f"{ours['name']}: time to load a small session, of {CHECKPOINTERS[backend]}'s"
        yield Goal(what, figure, WEAVEGRAPH_LOAD[backend], at_least=False)


def _sessions(results: Results) -> Iterator[Goal]:
    for backend in BACKENDS:
        at: dict[str, Label] = {"name": backend}
        figure = results.ratio("sessions", "memory", at | {"sessions": MANY}, at | {"sessions": FEW})
        yield Goal(f"{backend}: memory with {MANY:,} sessions, of that with {FEW:,}", figure, 1.1, at_least=False)


def _workers(results: Results) -> Iterator[Goal]:
    cores = next(iter(results.values("workers", "cores")), 0)
    note = f" ({cores} cores are shared with load and database)" if isinstance(cores, int) and cores < 4 else ""
    for backend in BACKENDS:
        at: dict[str, Label] = {"name": f"Lockstitch unary, {backend}"}
        figure = results.ratio("workers", "rate", at | {"workers": 2}, at | {"workers": 1})
        yield Goal(f"{at['name']}: rate of two workers, of one's", figure, 1.5, note=note)


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
