"""Saves a second, and how long one takes."""

from collections.abc import Callable

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.debian import Missing
from benchmarks.options import Options
from benchmarks.parts.rates import compare, tell
from benchmarks.results import Label, Results


def run(options: Options, results: Results) -> None:
    """Everybody, with states that are all new."""
    settings: list[dict[str, Label]] = [
        {"state_bytes": size, "concurrency": concurrency}
        for size in options.state_bytes
        for concurrency in options.concurrency
    ]
    for _ in range(options.repeat):
        with Stand() as stand:
            compare("saves", everybody(stand, results), options, results, settings)


def everybody(stand: Stand, results: Results) -> list[Contestant]:
    """All of them that this machine has."""
    found = [stand.ceiling()]
    for backend in BACKENDS:
        found += [
            stand.client_of_lockstitch(f"Lockstitch unary, {backend}", "unary", backend),
            stand.client_of_lockstitch(f"Lockstitch stream, {backend}", "stream", backend, connections=1),
            stand.client_of_lockstitch(f"Lockstitch batches, {backend}", "batches", backend, connections=1),
            stand.saver("saver", backend),
        ]
    for name, start in {"etcd": stand.etcd, "Redis": stand.redis}.items():
        found += _if_there(name, start, results)
    return found


def _if_there(name: str, start: Callable[[], Contestant], results: Results) -> list[Contestant]:
    try:
        return [start()]
    except Missing as error:
        results.missing[name] = str(error)
        tell(f"{name} is not measured: {error}")
        return []
