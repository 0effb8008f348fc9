"""The demos share this: a Lockstitch server, worker processes that can be killed, and a report of the checks."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import lockstitch

WORKER = os.environ.get("DEMO_PYTHON", sys.executable)
"""The interpreter of the worker processes, if another one has their packages."""


def tell(who: str, text: str) -> None:
    """Print a line of the demo."""
    print(f"{who:>7} | {text}", flush=True)


@contextlib.contextmanager
def server(directory: Path) -> Iterator[str]:
    """A Lockstitch server with SQLite that is ready to work. Gives its address, a Unix socket that is its own."""
    target = f"unix:{directory}/lockstitch.sock"
    command = [sys.executable, "-m", "lockstitch_server", "serve"]
    options = ["--listen", target, "--store", f"sqlite:///{directory}/lockstitch.db"]
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], cwd=directory, stdout=log, stderr=log)
    try:
        with lockstitch.Client(target) as client:
            client.wait_ready(timeout=30)
        yield target
    finally:
        process.terminate()
        process.wait()


def run(who: str, *command: str, kill_at: str | None = None, environment: Mapping[str, str] | None = None) -> list[str]:
    """Run a Python program in a process; kill it with SIGKILL when it prints `kill_at`. Gives the lines it printed.

    environment: further variables of the process.
    """
    said = []
    settings = {**os.environ, **(environment or {})}
    with subprocess.Popen([WORKER, *command], stdout=subprocess.PIPE, text=True, env=settings) as process:
        assert process.stdout is not None
        for line in map(str.rstrip, process.stdout):
            said.append(line)
            tell(who, line)
            if line == kill_at:
                process.kill()
                tell("fault", f"kill -9: the {who} process is gone")
    return said


def report(checks: Mapping[str, bool]) -> int:
    """Print each check. Gives 0 if all are true."""
    for name, good in checks.items():
        tell("demo", f"{'ok' if good else 'WRONG'}: {name}")
    return 0 if all(checks.values()) else 1
