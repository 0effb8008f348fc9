"""Three workers compete for ten sessions. Some are frozen, for longer than their leases, and wake up late.

    python demo.py [STEPS]

Starts a server with SQLite in a temporary directory and three workers, and stops one or another with SIGSTOP.
Ends with 0 if every session has come to its end by one writer at a time: each step was written once, and whoever came
later had a greater fencing token.
"""

import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lockstitch

HERE = Path(__file__).resolve().parent
WORKERS = ("anna", "bert", "cleo")
SESSIONS = tuple(f"session-{number}" for number in range(10))
FROZEN_SECONDS = 2.5
"""Longer than a lease."""
PATIENCE = 300.0


@contextlib.contextmanager
def server(directory: Path) -> Iterator[str]:
    """A server that is ready to work. Gives its address, a Unix socket that is its own."""
    target, log = f"unix:{directory}/lockstitch.sock", directory / "server.log"
    command = [sys.executable, "-m", "lockstitch_server", "serve"]
    options = ["--listen", target, "--store", f"sqlite:///{directory}/lockstitch.db"]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], cwd=directory, stdout=output, stderr=output)
    try:
        with lockstitch.Client(target) as client:
            client.wait_ready(timeout=60)
        yield target
    except lockstitch.LockstitchError:
        print(log.read_text(), file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait()


def start(target: str, name: str, steps: int) -> "subprocess.Popen[str]":
    """A worker, whose lines go to this program's output under its name."""
    command = [sys.executable, str(HERE / "worker.py"), target, name, str(steps), *SESSIONS]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    threading.Thread(target=tell_all, args=(name, worker), daemon=True).start()
    return worker


def tell_all(name: str, worker: "subprocess.Popen[str]") -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        print(f"{name} | {line.rstrip()}", flush=True)


def freeze_some(workers: dict[str, "subprocess.Popen[str]"], end: float) -> int:
    """Freeze one or another until all have come to their end. Gives how often."""
    times = 0
    while time.monotonic() < end and any(worker.poll() is None for worker in workers.values()):
        time.sleep(random.uniform(0.1, 0.4))
        name = random.choice(sorted(workers))
        worker = workers[name]
        if worker.poll() is None:
            times += 1
            print(f"demo | {name} is frozen", flush=True)
            worker.send_signal(signal.SIGSTOP)
            time.sleep(FROZEN_SECONDS)
            print(f"demo | {name} wakes up", flush=True)
            worker.send_signal(signal.SIGCONT)
    return times


def check(target: str, steps: int) -> list[str]:
    """What is wrong with what is stored; nothing, if all is well."""
    faults = []
    with lockstitch.Client(target) as client:
        for session in SESSIONS:
            history = [item.checkpoint for item in client.list_checkpoints(session)][::-1]
            if [checkpoint.step for checkpoint in history] != list(range(1, steps + 1)):
                faults.append(f"{session} has not every step once: {[checkpoint.step for checkpoint in history]}")
            tokens = [int(checkpoint.metadata["token"]) for checkpoint in history]
            if tokens != sorted(tokens):
                faults.append(f"{session} was written to by two at a time: {tokens}")
    return faults


def main(steps: int) -> int:
    with tempfile.TemporaryDirectory(prefix="lockstitch-leases-") as directory, server(Path(directory)) as target:
        workers = {name: start(target, name, steps) for name in WORKERS}
        try:
            times = freeze_some(workers, time.monotonic() + PATIENCE)
            codes = [worker.wait(PATIENCE) for worker in workers.values()]
        finally:
            for worker in workers.values():
                worker.kill()
        faults = check(target, steps) + [f"a worker ended with {code}" for code in codes if code]
    for fault in faults:
        print(f"demo | {fault}")
    if not faults:
        print(f"demo | {len(SESSIONS)} sessions of {steps} steps, {times} freezes; one writer at a time")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
