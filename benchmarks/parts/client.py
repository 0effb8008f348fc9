"""The Python client against LangGraph's savers, with states that change a little at every step."""

from benchmarks.contestants import BACKENDS, Stand
from benchmarks.options import Options
from benchmarks.parts.rates import compare
from benchmarks.results import Label, Results

IN_FLIGHT = 64


def run(options: Options, results: Results) -> None:
    """At 64 in flight."""
    settings: list[dict[str, Label]] = [{"state_bytes": size, "concurrency": IN_FLIGHT} for size in options.state_bytes]
    for _ in range(options.repeat):
        with Stand() as stand:
            contestants = [
                contestant
                for backend in BACKENDS
                for contestant in (
                    stand.client_of_lockstitch(f"Python client, {backend}", "client", backend),
                    stand.saver("saver-changing", backend),
                )
            ]
            compare("client", contestants, options, results, settings)
