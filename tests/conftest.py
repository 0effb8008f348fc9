"""What all tests share. Fixtures of one area live in the conftest.py of its directory."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support import passed
from tests.support import server as servers_under_test
from tests.support.postgres import Postgres, PostgresMissing, find_binaries
from tests.support.requirements import missing

# An example that takes long says that the machine is busy: whoever else works on it must not fail a property.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


pytest_addoption = passed.pytest_addoption
pytest_configure = passed.pytest_configure
pytest_collection_modifyitems = passed.pytest_collection_modifyitems


def pytest_xdist_auto_num_workers() -> int:
    """Of `--numprocesses auto`: tests wait for servers half of their time, so one process more than processors."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(params=servers_under_test.DOORS)
def both_doors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test over each door: the servers that it starts are reached there. Returns the door."""
    monkeypatch.setattr(servers_under_test, "DOOR", request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_binaries() -> Path:
    """The directory of PostgreSQL's programs; without them there is no test."""
    try:
        return find_binaries()
    except PostgresMissing as reason:
        missing(f"no PostgreSQL: {reason}")


@pytest.fixture(scope="session")
def postgres(postgres_binaries: Path) -> Iterator[Postgres]:
    """A PostgreSQL server that all tests share. A test that stops or kills one starts its own."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A fresh database."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def start_postgres(postgres_binaries: Path) -> Iterator[Callable[..., Postgres]]:
    """Starts a server that the test may do anything to; same options as `Postgres`."""
    with ExitStack() as servers:

        def start(**options: Any) -> Postgres:
            return servers.enter_context(Postgres(**options))

        yield start
