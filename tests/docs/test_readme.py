"""Everything that the README shows is run."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.server import LockstitchServer
from tests.upkeep.stores import exported, fill, opened

README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:50051"
LOCKSTITCH = Path(sys.executable).with_name("lockstitch")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """What stands behind a prompt."""
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a reader would stand who has a weavegraph database, a store of his own and an archive of it."""
    shutil.copy(ROOT / "tests" / "fixtures" / "weavegraph" / "weavegraph.db", tmp_path)
    asyncio.run(_fill(f"sqlite:///{tmp_path}/lockstitch.db", tmp_path / "everything.archive"))
    return tmp_path


async def _fill(store: str, archive: Path) -> None:
    async with opened(store) as api:
        await fill(api)
        archive.write_bytes(await exported(api.store))


def test_python_blocks_run(server: LockstitchServer, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block.replace(ADDRESS, server.target), "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "1 ['What is a lockstitch?']",
        "another runner was faster; the latest step is 2",
        "heard 1",
    ]


@pytest.mark.parametrize("command", [line for line in commands() if " serve " not in line])
def test_commands_run(command: str, server: LockstitchServer, directory: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "lockstitch"
    done = subprocess.run(
        [LOCKSTITCH, *arguments],
        cwd=directory,
        env={**os.environ, "LOCKSTITCH_TARGET": server.target},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [line for line in commands() if " serve " in line])
def test_serve_runs(command: str, directory: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    _, *arguments = shlex.split(command.replace(ADDRESS, address))
    with subprocess.Popen([LOCKSTITCH, *arguments], cwd=directory, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert address in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([a-z]+)", "\n".join(blocks("sh")), re.MULTILINE))))
def test_make_targets_exist(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 4
    for link in links:
        assert (ROOT / link).exists(), link
