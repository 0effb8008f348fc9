"""Drivers, as seen by who gives them work."""

import json
import subprocess
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from benchmarks.driver.job import Job
from tests.support.paths import ROOT


class Driver:
    """A process that makes load, one job after the other."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.driver"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)

    def run(self, job: Job) -> Any:
        """Have a job done. Gives what the driver tells of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"the load has failed: {job}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        with self._process:  # closes the pipes, which ends it, and waits
            pass
