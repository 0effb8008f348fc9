"""A graph's thread takes little more than its messages, however many checkpoints and pending writes it leaves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.driver.graphs import conversation
from benchmarks.driver.job import Job
from benchmarks.limits import GRAPH
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # hundreds of turns

TURNS = 200
CHECKPOINTS = 3 * TURNS


async def test_on_sqlite(tmp_path: Path) -> None:
    await _check(f"sqlite:///{tmp_path}/lockstitch.db")


async def test_on_postgres_that_is_never_vacuumed(start_postgres: Callable[..., Postgres]) -> None:
    """Nothing is merged: without vacuum, the space of rows that are replaced would never be used again."""
    url = start_postgres(settings={"autovacuum": "off"}).url()
    await _check(url, "--set", "merge.interval_seconds=0")


async def _check(url: str, *arguments: str) -> None:
    with LockstitchServer(url, ["--migrate", *arguments]) as server:
        figures = await conversation(Job("graph", server.target, turns=(TURNS,), url=url))
    assert figures["steps"] == CHECKPOINTS
    assert figures["stored"] - figures["empty"] <= GRAPH.bytes(int(figures["payload"]), CHECKPOINTS)
