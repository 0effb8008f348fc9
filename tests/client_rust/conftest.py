"""What the tests of the Rust client share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstitch import Client
from tests.client_rust.cargo import built
from tests.support.server import LockstitchServer


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of client/rust/probe."""
    return built(tmp_path_factory.mktemp("probe"), "lockstitch-probe")


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as server:
        yield server


@pytest.fixture
def client(server: LockstitchServer) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client
