"""What the tests of robustness share."""

import os
import random
from collections.abc import Callable

import pytest

from tests.support import server as servers_under_test
from tests.support.postgres import Postgres


@pytest.fixture
def rng() -> random.Random:
    """Chance that can be had again: LOCKSTITCH_TEST_SEED takes the seed that a failed test has printed."""
    seed = int(os.environ.get("LOCKSTITCH_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"LOCKSTITCH_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def own_postgres(start_postgres: Callable[..., Postgres]) -> Postgres:
    """A server that the test may stop and kill, and that loses nothing it has promised to keep."""
    return start_postgres(durable=True)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: object) -> str:
    """A fresh store of each kind that outlives its server."""
    return _url(request.param, request, tmp_path)


@pytest.fixture(params=["grpc-sqlite", "grpc-postgres", "http-sqlite"])
def store_url_of_each_door(request: pytest.FixtureRequest, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """As `store_url`, and once more for the HTTP door, where the servers of the test are reached then."""
    door, _, store = request.param.partition("-")
    monkeypatch.setattr(servers_under_test, "DOOR", door)
    return _url(store, request, tmp_path)


def _url(store: str, request: pytest.FixtureRequest, directory: object) -> str:
    if store == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{directory}/lockstitch.db"
