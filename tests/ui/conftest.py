"""A server with sessions of all kinds, and explorers of it, which all tests of a file share."""

from collections.abc import Iterator

import pytest

import lockstitch
from tests.support.server import LockstitchServer
from tests.ui import histories, stores
from tests.ui.explorer import Explorer, Visitor


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as running:
        yield running


@pytest.fixture(scope="module")
def filled(server: LockstitchServer) -> LockstitchServer:
    """The server, with sessions: see `stores`."""
    with lockstitch.Client(server.target) as client:
        stores.fill_hostile(client)
        stores.fill_statuses(client)
    stores.fill_langgraph(server.target)
    histories.import_weavegraph(server.target)
    return server


@pytest.fixture(scope="module")
def explorer(filled: LockstitchServer) -> Iterator[Explorer]:
    """A read-only one."""
    with Explorer(filled.target) as running:
        yield running


@pytest.fixture(scope="module")
def changing(filled: LockstitchServer) -> Iterator[Explorer]:
    """One that may change sessions."""
    with Explorer(filled.target, "--allow-changes") as running:
        yield running


@pytest.fixture
def visitor(explorer: Explorer) -> Visitor:
    return Visitor(explorer.port)
