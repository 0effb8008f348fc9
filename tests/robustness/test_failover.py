"""Failovers of Postgres under load: no acknowledged save is lost, and the server goes on without a restart."""

import random
from collections.abc import AsyncIterator, Iterator

import pytest

from lockstitch_server.config import Settings
from tests.robustness.crowd import until
from tests.robustness.failovers import Kind, fail_over
from tests.robustness.workload import full_save
from tests.support.api import Api, grpc_api, raw_api
from tests.support.postgres import Postgres
from tests.support.replication import Pair, pair
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def servers(postgres: Postgres) -> Iterator[Pair]:
    """The same for all tests, each of which leaves a pair behind: so failovers follow one another."""
    with pair() as running:
        yield running


@pytest.fixture(scope="module")
def server(servers: Pair) -> Iterator[LockstitchServer]:
    with LockstitchServer(servers.url(), ["--migrate"]) as running:
        yield running


@pytest.fixture
async def api(server: LockstitchServer) -> AsyncIterator[Api]:
    async with grpc_api(server.target) as connected:
        yield connected


@pytest.mark.parametrize("kind", ["kill", "freeze", "switchover"])
async def test_no_acknowledged_save_is_lost(
    servers: Pair, server: LockstitchServer, api: Api, rng: random.Random, kind: Kind
) -> None:
    await fail_over(servers, kind, api, rng)
    if kind == "freeze":
        # A server that starts now finds the primary too, although the other host hangs.
        async with raw_api(Settings(store=servers.url())) as other:
            await other.save(full_save("other", 0))
    servers.rejoin()
    assert "postgres_primary_changed" in server.log.read_text()


async def test_readiness_follows_the_database(servers: Pair, server: LockstitchServer) -> None:
    def is_told(message: str, after: int) -> bool:
        return message in server.log.read_text()[after:]

    begun = len(server.log.read_text())
    servers.primary.kill()
    await until(lambda: is_told("database_unavailable", begun))
    servers.promote()
    await until(lambda: is_told("database_available", begun))
    servers.rejoin()


def test_commits_that_are_not_on_disk_cause_a_warning(postgres: Postgres, postgres_url: str) -> None:
    postgres.execute(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off")
    with LockstitchServer(postgres_url, ["--migrate"]) as server:
        assert "postgres_synchronous_commit_off" in server.log.read_text()
