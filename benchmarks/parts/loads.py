"""Loads of the latest checkpoint a second: of a small session, and of a long one."""

from dataclasses import replace

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.driver.growth import TURN_BYTES
from benchmarks.options import KB, Options
from benchmarks.parts.rates import compare
from benchmarks.results import Label, Results


def run(options: Options, results: Results) -> None:
    """Fill the stores once, and load again and again. Loads sync nothing: half the time tells as much."""
    options = replace(options, seconds=options.seconds / 2)
    settings: list[dict[str, Label]] = [{"concurrency": number} for number in options.concurrency]
    with Stand() as stand:
        contestants = [contestant for backend in BACKENDS for contestant in _on(stand, backend)]
        small_ones, long_ones = _names("small", options.small_sessions), _names("long", options.long_sessions)
        small = [_loading(each, small_ones, 1, 2 * KB) for each in contestants]
        long = [_loading(each, long_ones, options.long_turns, TURN_BYTES) for each in contestants]
        for _ in range(options.repeat):
            compare("loads", small, options, results, settings, session="small")
            compare("loads", long, options, results, settings, session="long")


def _on(stand: Stand, backend: str) -> list[Contestant]:
    """The Python client loads what is there for Lockstitch."""
    return [
        stand.client_of_lockstitch(f"Lockstitch unary, {backend}", "load", backend),
        stand.client_of_lockstitch(f"Python client, {backend}", "client-load", backend),
        stand.saver("saver-load", backend),
    ]


def _names(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(count))


def _loading(contestant: Contestant, sessions: tuple[str, ...], turns: int, turn_bytes: int) -> Contestant:
    """The same one, with sessions to load."""
    fill = {"load": "store-turns", "saver-load": "store-threads"}.get(contestant.job.kind)
    if fill:
        contestant.run(kind=fill, sessions=sessions, turns=(turns,), state_bytes=turn_bytes)
    return replace(contestant, job=replace(contestant.job, sessions=sessions))
