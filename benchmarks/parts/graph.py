"""LangGraph's savers and Lockstitch's behind the same graph, and behind many threads."""

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.options import Options
from benchmarks.parts.rates import tell
from benchmarks.results import Results

STATE_BYTES = 2048
SAVERS_BY_DOOR = {"grpc": "LockstitchSaver", "http": "LockstitchSaver over HTTP"}
"""By the door of the server that they call. Both call it by grpcio's client."""


def run(options: Options, results: Results) -> None:
    """Every repeat with stores of their own."""
    for _ in range(options.repeat * options.graph_runs):
        with Stand() as stand:
            for backend in BACKENDS:
                ours = [
                    stand.client_of_lockstitch(f"{name}, {backend}", "graph", backend, name, door=door)
                    for door, name in SAVERS_BY_DOOR.items()
                ]
                for contestant in (stand.saver("graph", backend), *ours):
                    _measure(contestant, options, results)


def _measure(contestant: Contestant, options: Options, results: Results) -> None:
    figures = contestant.run(turns=(options.graph_turns,))
    results.add("graph", figures, name=contestant.name, turns=options.graph_turns)
    saves = contestant.run(
        kind="saver-changing", seconds=options.seconds, concurrency=options.graph_threads, state_bytes=STATE_BYTES
    )
    results.add("graph-saves", saves, name=contestant.name)
    wall, stored = figures["wall"], figures["stored"]
    tell(f"graph: {contestant.name}: {wall:.1f} s, {stored / 1000:,.0f} KB; {saves['rate']:,.0f} saves/s")
