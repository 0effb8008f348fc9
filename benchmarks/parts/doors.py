"""The two doors side by side: grpc.aio, and the HTTP door with native gRPC."""

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.options import KB, Options
from benchmarks.parts.rates import compare
from benchmarks.results import Label, Results

DOORS = {"grpc": "grpc.aio", "http": "HTTP door"}
CONCURRENCY = (1, 64)


def run(options: Options, results: Results) -> None:
    """Unary saves of 2 KB, alone and 64 in flight, and an empty server for each door."""
    settings: list[dict[str, Label]] = [{"state_bytes": 2 * KB, "concurrency": each} for each in CONCURRENCY]
    for _ in range(options.repeat):
        with Stand() as stand:
            compare("doors", _contestants(stand), options, results, settings)


def _contestants(stand: Stand) -> list[Contestant]:
    found = [stand.ceiling(door) for door in DOORS]
    for backend in BACKENDS:
        for door, name in DOORS.items():
            found.append(stand.client_of_lockstitch(f"{name}, {backend}", "unary", backend, name, door=door))
    return found
