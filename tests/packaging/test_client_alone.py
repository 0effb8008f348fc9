"""`pip install lockstitch` gives a client that works: it needs nothing that only the server has."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import CLIENT

# Run with nothing but the standard library and the directories given.
PROGRAM = """
import importlib, pkgutil, sys
sys.path += sys.argv[1:]
import lockstitch
for module in pkgutil.walk_packages(lockstitch.__path__, "lockstitch."):
    if not module.name.startswith("lockstitch.adapters"):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def requirements(distribution: str) -> set[str]:
    """Names of what it needs without extras, and of what those need."""
    found = set()
    for requirement in map(Requirement, importlib.metadata.requires(distribution) or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found |= {requirement.name, *requirements(requirement.name)}
    return found


@pytest.fixture
def client_dependencies(tmp_path: Path) -> Path:
    """A directory with what the client needs, and nothing else."""
    for name in requirements("lockstitch"):
        for file in importlib.metadata.files(name) or []:
            target = tmp_path / file
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.locate().__fspath__())
    return tmp_path


def test_the_whole_client_imports_without_the_server(client_dependencies: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(client_dependencies), str(CLIENT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    assert {"lockstitch", "grpc", "google"} <= modules
    assert not modules & {"lockstitch_server", "pydantic", "typer", "asyncpg", "aiosqlite"}
