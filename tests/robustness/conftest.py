"""What the tests of robustness share."""

import os
import random
from collections.abc import Callable, Iterator

import pytest

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
def store_url(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[str]:
    """A fresh store of each kind that outlives its server."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_url")
    else:
        yield f"sqlite:///{tmp_path}/lockstitch.db"
