"""Whatever is saved, in whatever order, while rows are merged: every checkpoint comes back exactly."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from lockstitch_server.config import Settings
from lockstitch_server.core.format.parts import RowSizes
from lockstitch_server.storage.postgres import PostgresStore
from lockstitch_server.storage.sqlite import SqliteStore
from tests.core.merging_engine import MergingEngine
from tests.core.sessions import Sessions
from tests.support.api import raw_api

ROW_BYTES = 400


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MergingEngine]:
    """Two servers on one store, with rows so small that short logs have many."""
    on_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/lockstitch.db" if on_file else request.getfixturevalue("postgres_url")
    monkeypatch.setattr(SqliteStore, "row_sizes", RowSizes(full=70, most=200, seals=True))
    monkeypatch.setattr(PostgresStore, "row_sizes", RowSizes(full=30, most=100))
    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        try:
            settings = Settings(store=url, migrate=True)
            apis = [loop.run(stack.enter_async_context(raw_api(settings))) for _ in range(2)]
            yield MergingEngine(apis, loop, ROW_BYTES)
        finally:
            loop.run(stack.aclose())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_any_sequence_of_saves_and_merges(engine: MergingEngine) -> None:
    run_state_machine_as_test(
        lambda: Sessions(engine),  # type: ignore[arg-type]  # any function that makes one will do
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    assert engine.merged_rows
