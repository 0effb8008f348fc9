"""A weavegraph runner in a process of its own, to be killed."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstitch import Client, View

SECONDS = 120.0


@dataclass(frozen=True)
class Probe:
    """The probe, with the version of weavegraph that it is to use."""

    program: Path
    version: str

    def start(self, command: str, target: str, session: str, pause_ms: int = 0) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.program, self.version, command, target, session],
            env={**os.environ, "PAUSE_MS": str(pause_ms)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, target: str, session: str) -> list[str]:
        """The lines that it prints until it has ended, which it must without an error."""
        return finished(self.start(command, target, session))


def finished(process: "subprocess.Popen[str]") -> list[str]:
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, f"{process.returncode}\n{out}\n{err}"
    # JSON text may hold what `splitlines` takes for the end of a line.
    return out.removesuffix("\n").split("\n") if out else []


def end_of(lines: list[str]) -> dict[str, Any]:
    """What a run tells at its end."""
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def wait_for_step(client: Client, session: str, step: int) -> None:
    """Return when the session has reached a step."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        latest = client.load_latest(session, view=View.HEADER).checkpoint
        if latest is not None and latest.step >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"{session} has not reached step {step}")


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL, "it has ended before it was killed"
