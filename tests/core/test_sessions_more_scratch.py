"""Whatever is saved, in whatever order: every checkpoint comes back exactly, and the latest and the lists are right."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from lockstitch_server.config import Settings
from tests.core.api_engine import ApiEngine
from tests.core.sessions import Engine, Sessions
from tests.support.api import raw_api


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    backend, count = request.param
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/lockstitch.db"}
    url = urls.get(backend) or request.getfixturevalue("postgres_url")
    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        try:
            apis = [
                loop.run(stack.enter_async_context(raw_api(Settings(store=url, migrate=True)))) for _ in range(count)
            ]
            yield ApiEngine(apis, loop)
        finally:
            loop.run(stack.aclose())


@pytest.mark.parametrize(
    ("engine", "examples"),
    [
        (("memory", 1), 8),
        pytest.param(("sqlite", 1), 60, marks=pytest.mark.slow),
        pytest.param(("postgres", 1), 36, marks=pytest.mark.slow),
        pytest.param(("sqlite", 2), 90, marks=pytest.mark.slow),
        pytest.param(("postgres", 2), 50, marks=pytest.mark.slow),
    ],
    indirect=["engine"],
    ids=["memory", "sqlite", "postgres", "two on sqlite", "two on postgres"],
)
def test_any_sequence_of_saves(engine: Engine, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Sessions(engine),  # type: ignore[arg-type]  # any function that makes one will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
