"""A session of 1,000 steps takes little more than its final state, and any of its steps loads exactly."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.growing import STEPS, GrowingSession
from benchmarks.limits import LIMITS
from benchmarks.stored import stored_bytes
from lockstitch.v1.checkpoint_service_pb2 import LoadRequest, SaveRequest
from lockstitch_server.config import Settings
from tests.support.api import Api, raw_api
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow  # a thousand steps

Make = Callable[[GrowingSession], SaveRequest]
by_full_and_delta_saves = pytest.mark.parametrize("make", [GrowingSession.full_save, GrowingSession.delta_save])


@by_full_and_delta_saves
async def test_on_sqlite(tmp_path: Path, make: Make) -> None:
    await _check("sqlite", f"sqlite:///{tmp_path}/lockstitch.db", make)


@by_full_and_delta_saves
async def test_on_postgres_that_is_never_vacuumed(start_postgres: Callable[..., Postgres], make: Make) -> None:
    server = start_postgres(settings={"autovacuum": "off"})
    await _check("postgres", server.url(), make)


async def _check(backend: str, url: str, make: Make) -> None:
    session = GrowingSession("session")
    async with raw_api(Settings(store=url, migrate=True)) as api:
        for _ in range(STEPS):
            session.advance()
            await api.save(make(session))
        await _assert_every_step_loads(api)
    limit = LIMITS[backend].bytes(session.state_bytes, STEPS)
    assert session.state_bytes > STEPS * 500
    assert await stored_bytes(url) <= limit


async def _assert_every_step_loads(api: Api) -> None:
    expected = GrowingSession("session")
    for step in range(STEPS):
        expected.advance()
        loaded = await api.load(LoadRequest(session_id="session", step=step))
        assert loaded.checkpoint == expected.checkpoint
