"""Servers, savers and other installations for tests of the adapters."""

import fcntl
import hashlib
import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lockstitch.adapters.langgraph import LockstitchSaver
from tests.support.paths import ROOT
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer


@pytest.fixture(scope="session")
def sqlite_server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(postgres: Postgres) -> Iterator[LockstitchServer]:
    name = postgres.create_database()
    with LockstitchServer(postgres.url(name), ["--migrate"]) as server:
        yield server
    postgres.drop_database(name)


@pytest.fixture
def server(sqlite_server: LockstitchServer) -> LockstitchServer:
    """A server for all tests that do not care about the backend."""
    return sqlite_server


@pytest.fixture
async def saver(server: LockstitchServer) -> AsyncIterator[LockstitchSaver]:
    async with LockstitchSaver(server.target) as saver:
        yield saver


@pytest.fixture
def thread_id() -> str:
    return f"thread-{uuid4()}"


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """The python of an installation with the newest releases of heavy frameworks."""
    return installed("requirements-frameworks.lock")


@pytest.fixture(scope="session")
def oldest() -> Path:
    """The python of an installation with the oldest releases that the adapters work with."""
    return installed("requirements-frameworks-oldest.lock")


def installed(lock: str) -> Path:
    """The python of an installation of a lock file: made once for each content of it, by one of the test processes."""
    content = hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()[:12]
    home = Path(sys.prefix) / f"{lock.removesuffix('.lock')}-{content}"
    python, done = home / "bin" / "python", home / "done"
    with Path(f"{home}.flock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not done.exists():
            venv.create(home, clear=True, with_pip=True)
            pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile")
            subprocess.run([*pip, "--require-hashes", "-r", ROOT / lock], check=True)
            done.touch()
    return python
