"""`pip install lockstitch` gives a client that works: it needs nothing that only the server has."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed import link_requirements
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


@pytest.fixture
def client_dependencies(tmp_path: Path) -> Path:
    """A directory with what the client needs, and nothing else."""
    link_requirements(tmp_path, "lockstitch")
    return tmp_path


def test_the_whole_client_imports_without_the_server(client_dependencies: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(client_dependencies), str(CLIENT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    assert {"lockstitch", "grpc", "google"} <= modules
    assert not modules & {"lockstitch_server", "pydantic", "typer", "asyncpg", "aiosqlite"}
