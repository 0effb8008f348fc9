"""Output that cannot be written: one line, and an exit code, whatever the command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lockstitch
from tests.support.server import LockstitchServer

COMMANDS = [["--version"], ["config"], ["config", "--schema"], ["sessions"], ["sessions", "--json"], ["show", "s"]]


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        with lockstitch.Client(server.target) as client:
            client.save(lockstitch.Checkpoint(session_id="s", step=1))
        yield server.target


def run(arguments: list[str], out: int, target: str) -> tuple[int, str]:
    environment = {**os.environ, "LOCKSTITCH_TARGET": target}
    command = [sys.executable, "-m", "lockstitch_server", *arguments]
    done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk(target: str, arguments: list[str]) -> None:
    out = os.open("/dev/full", os.O_WRONLY)
    try:
        assert run(arguments, out, target) == (
            1,
            "lockstitch: cannot write the output: No space left on device\n",
        )
    finally:
        os.close(out)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nobody_reads_it(target: str, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(arguments, writing, target) == (1, "")
    finally:
        os.close(writing)


def test_an_archive_on_a_full_disk(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/a.db"
    migrated = subprocess.run([sys.executable, "-m", "lockstitch_server", "migrate", "--store", store])
    assert migrated.returncode == 0
    out = os.open("/dev/full", os.O_WRONLY)
    try:
        code, told = run(["export", "-", "--store", store], out, "")
    finally:
        os.close(out)
    assert code == 1
    assert told.splitlines()[-1] == "lockstitch: cannot write the output: No space left on device"
    assert "Traceback" not in told
