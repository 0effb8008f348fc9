"""A real server for the client's tests, and both clients with one face."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from lockstitch import AsyncClient
from tests.client.either import Kind, open_client
from tests.support.server import LockstitchServer


@pytest.fixture(scope="session")
def server() -> Iterator[LockstitchServer]:
    """A server for all tests that leave it running."""
    with LockstitchServer() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[LockstitchServer]:
    """A server for one test that stops, freezes or kills it."""
    with LockstitchServer() as server:
        yield server


@pytest.fixture(params=["async", "blocking"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which of the two clients a test is about: each test is run with both."""
    kind: Kind = request.param
    return kind


@pytest.fixture
async def client(server: LockstitchServer, kind: Kind) -> AsyncIterator[AsyncClient]:
    async with open_client(kind, server.target) as client:
        yield client


@pytest.fixture
def session_id() -> str:
    """A session that nobody else uses."""
    return f"session-{uuid.uuid4()}"
