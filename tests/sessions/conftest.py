"""Stores of both kinds, reached by several engines in this process, and the clock of one of them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lockstitch_server.config import Settings
from tests.support.api import RawApi, raw_api


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    on_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/lockstitch.db" if on_file else request.getfixturevalue("postgres_url")
    return Settings(store=url, migrate=True)


@pytest.fixture
async def replicas(settings: Settings) -> AsyncIterator[list[RawApi]]:
    """Two engines on one database, which know nothing of each other."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_api(settings)) for _ in range(2)]
