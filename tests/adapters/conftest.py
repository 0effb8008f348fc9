"""Servers and savers for tests of LangGraph's adapter."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from lockstitch.adapters.langgraph import LockstitchSaver
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
