"""Everything that the README shows is run."""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.newcomer import blocks, commands
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.requirements import missing
from tests.support.server import LockstitchServer
from tests.upkeep.stores import exported, fill, opened

README = (ROOT / "README.md").read_text()
PYRIGHT = "pyright@1.1.407"
ADDRESS = "127.0.0.1:50051"
LOCKSTITCH = Path(sys.executable).with_name("lockstitch")


def of_language(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return [block for found, block in blocks(README) if found == language]


def at_the_prompt(language: str) -> list[str]:
    """What a reader types into the shell."""
    return [command for block in of_language(language) for command in commands(language, block)]


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


def test_python_blocks_run_in_order_and_once_more(server: LockstitchServer, tmp_path: Path) -> None:
    """Each in a process of its own, as readers run them; what the first round has left is there in the second."""
    printed = [run_block(block, server, tmp_path) for block in 2 * of_language("python")]
    assert printed == [
        "1 ['question 1']",
        "another runner was faster; the latest step is 2",
        "heard 1",
        "3 ['question 1', 'answer', 'question 3']",
        "another runner was faster; the latest step is 4",
        "heard 3",
    ]


def test_the_first_block_runs_again_and_again(tmp_path: Path) -> None:
    first = of_language("python")[0]
    with LockstitchServer() as own:
        assert [run_block(first, own, tmp_path) for _ in range(2)] == [
            "1 ['question 1']",
            "2 ['question 1', 'question 2']",
        ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker", [["{python}", "-m", "mypy", "--strict"], ["npx", "--yes", PYRIGHT, "--pythonpath", "{python}"]]
)
def test_python_blocks_are_typed(checker: list[str], tmp_path: Path) -> None:
    """The client's blocks, as strict type checkers read them."""
    if shutil.which(checker[0]) is None and checker[0] == "npx":
        missing("npx (npm), which runs pyright")
    for number, block in enumerate(block for block in of_language("python") if "langgraph" not in block):
        (tmp_path / f"block_{number}.py").write_text("# pyright: strict\n" + block)
    command = [part.format(python=sys.executable) for part in checker]
    done = subprocess.run(
        [*command, *sorted(tmp_path.glob("*.py"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_block(block: str, server: LockstitchServer, directory: Path) -> str:
    """What a block prints."""
    source = block.replace(ADDRESS, server.target)
    done = subprocess.run(
        [sys.executable, "-"], input=source, cwd=directory, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip()


@pytest.mark.parametrize("command", [line for line in at_the_prompt("console") if " serve " not in line])
def test_commands_run(command: str, server: LockstitchServer, directory: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "lockstitch"
    if arguments[0] == "export":
        (directory / arguments[1]).unlink()  # it overwrites nothing
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


@pytest.mark.parametrize("command", [line for line in at_the_prompt("console") if " serve " in line])
def test_serve_runs(command: str, directory: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    _, *arguments = shlex.split(command.replace(ADDRESS, address))
    with subprocess.Popen([LOCKSTITCH, *arguments], cwd=directory, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert address in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "target", sorted({line.split()[1] for line in at_the_prompt("sh") if line.startswith("make ")})
)
def test_make_targets_exist(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
