"""Running `lockstitch` commands."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner

from lockstitch_server.cli.app import app
from tests.support.paths import ROOT

FIXTURE = ROOT / "tests" / "fixtures" / "weavegraph" / "weavegraph.db"
SECONDS = 60


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def refused(self, *words: str) -> None:
        """It could not start: one readable line, which has these words, and exit code 2."""
        assert self.code == 2, self
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("lockstitch: ")
        for word in words:
            assert word in line


class Command:
    """A command with its arguments."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    def in_process(self, target: str = "") -> Done:
        """Run it here: quick, and the same but for what happens at the process's beginning and end."""
        with _logging_restored():
            result = CliRunner().invoke(app, self.arguments, env={"LOCKSTITCH_TARGET": target or None, "COLUMNS": None})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def process(self, directory: Path, **environment: str) -> Done:
        """Run it as users do."""
        done = subprocess.run(
            [sys.executable, "-m", "lockstitch_server", *self.arguments],
            cwd=directory,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def _logging_restored() -> Iterator[None]:
    """A command may set up logging for its process, to a stderr that is closed when the command ends. Undo that."""
    root, ours = logging.getLogger(), logging.getLogger("lockstitch_server")
    handlers, levels, processors = root.handlers[:], (root.level, ours.level), structlog.get_config()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        logging.captureWarnings(False)
        structlog.configure(**processors)
