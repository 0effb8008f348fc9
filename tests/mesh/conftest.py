"""What stands behind the mesh: two replicas on one database."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.envoy import Envoy
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def replicas(request: pytest.FixtureRequest, database: str) -> Iterator[list[LockstitchServer]]:
    """Servers with the options that the module names in OPTIONS, behind the door of the parameter, or of DOOR."""
    arguments = ["--migrate", *getattr(request.module, "OPTIONS", ())]
    door = getattr(request, "param", "") or getattr(request.module, "DOOR", "")
    with ExitStack() as stack:
        yield [stack.enter_context(LockstitchServer(database, arguments, door=door)) for _ in range(2)]


@pytest.fixture(scope="module")
def envoy(request: pytest.FixtureRequest, replicas: list[LockstitchServer]) -> Iterator[Envoy]:
    """Envoy without the filters that the module names in WITHOUT."""
    without = getattr(request.module, "WITHOUT", ())
    with Envoy("envoy.yaml", [replica.target for replica in replicas], without=without) as running:
        yield running
