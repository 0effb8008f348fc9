"""Two server processes on one address against one."""

import os
import subprocess
import sys

from benchmarks.contestants import BACKENDS, Contestant, Stand
from benchmarks.options import KB, Options
from benchmarks.parts.rates import compare, tell
from benchmarks.results import Label, Results

IN_FLIGHT = 64
CONNECTIONS = 16
"""The kernel deals out connections: with a few, one process may get all of them."""


def run(options: Options, results: Results) -> None:
    """2 KB states at 64 in flight, over many connections."""
    if "--workers" not in _help():
        results.missing["workers"] = "this version of `lockstitch serve` has one process"
        return tell(f"workers: {results.missing['workers']}")
    for _ in range(options.repeat):
        for backend in BACKENDS:
            with Stand() as stand:
                _compare(stand, backend, options, results)


def _compare(stand: Stand, backend: str, options: Options, results: Results) -> None:
    setting: dict[str, Label] = {"state_bytes": 2 * KB, "concurrency": IN_FLIGHT}
    for workers in (1, 2):
        contestants = [_contestant(stand, backend, kind, workers) for kind in ("unary", "stream")]
        compare("workers", contestants, options, results, [setting], workers=workers, cores=os.cpu_count() or 1)


def _contestant(stand: Stand, backend: str, kind: str, workers: int) -> Contestant:
    owner, name = f"{workers} workers", f"Lockstitch {kind}, {backend}"
    return stand.client_of_lockstitch(name, kind, backend, owner, f"--workers={workers}", connections=CONNECTIONS)


def _help() -> str:
    command = [sys.executable, "-m", "lockstitch_server", "serve", "--help"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
